"""A few good rows in each format, of invented numbers."""

from __future__ import annotations

PROXYLESSNAS = """\
Conv-input:224x224x3-output:112x112x32:
  count: 982
  mean: 4.083755600814664
  var: 0.2502372872758427
Conv_1-input:7x7x320-output:7x7x1280:
  count: 982
  mean: 3.088623217922607
  var: 0.19174675835259503
Logits-input:7x7x1280-output:1000:
  count: 982
  mean: 0.3096415478615071
  var: 0.0005583766681628091
expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:3-stride:2-idskip:0:
  count: 164
  mean: 6.240567073170731
  var: 0.07330791484716055
expanded_conv-input:56x56x24-output:56x56x24-expand:6-kernel:5-stride:1-idskip:1:
  count: 159
  mean: 14.1313
  var: 0.09288016159302682
"""

OFA = """\
AvgPool2D-input:7x7x1152-output:1x1x1152:
  count: 495
  mean: 0.015270707070707077
  std: 0.000903109390250199
Conv-input:224x224x3-output:112x112x24:
  count: 500
  mean: 0.994418
  std: 0.01726798413249215
Conv_1-input:7x7x192-output:7x7x1152:
  count: 500
  mean: 0.694356
  std: 0.02063155990224683
Conv_2-input:1x1x1152-output:1x1x1536:
  count: 500
  mean: 0.762458
  std: 0.10130917152953131
Logits-input:1x1x1536-output:1000:
  count: 500
  mean: 0.669412
  std: 0.07743974597065771
expanded_conv-input:112x112x24-output:112x112x24-expand:24-kernel:3-stride:1-idskip:1-se:0-hs:0:
  count: 500
  mean: 1.7728020000000002
  std: 0.026630561315901715
expanded_conv-input:28x28x48-output:14x14x96-expand:192-kernel:5-stride:2-idskip:0-se:1-hs:1:
  count: 63
  mean: 0.985063492063491
  std: 0.02
"""

HW_NAS_BENCH = """\
{
 "ConvNorm_H224_W224_Cin3_Cout16_kernel3_stride2_group1": 3.25,
 "ConvBlock_H56_W56_Cin24_Cout32_exp6_kernel5_stride2_group1": 4.3125,
 "Skip_H56_W56_Cin24_Cout32_stride2": 0.5,
 "Skip_H28_W28_Cin32_Cout32_stride1": 0.0,
 "AvgP_H7_W7_Cin1984_Cout1984_kernel7_stride1": 0.0625,
 "FC_Cin1984_Cout1000": 0.75
}
"""

FBNET = r"""
{"op_type": "Conv", "op_args": ["name: \"kernel\"\ni: 3\n", "name: \"pad\"\ni: 1\n", "name: \"stride\"\ni: 2\n"], "input_shapes": [[1, 3, 224, 224], [16, 3, 3, 3], [16]], "input_dtypes": [1, 1, 1], "runtime_us_p0": 3900.0, "runtime_us_p10": 4000.0, "runtime_us_p50": 4100, "runtime_us_p90": 4300.0, "runtime_us_p100": 5000.0, "device": "SM-G950U-7.0-24"}
{"op_type": "FC", "op_args": [], "input_shapes": [[1, 1504], [1000, 1504], [1000]], "input_dtypes": [1, 1, 1], "runtime_us_p0": 290.0, "runtime_us_p10": 300.0, "runtime_us_p50": 310.0, "runtime_us_p90": 330.0, "runtime_us_p100": 500.0, "device": "SM-G950U-7.0-24"}
{"op_type": "AveragePool", "op_args": ["name: \"global_pooling\"\ni: 1\n"], "input_shapes": [[1, 1504, 7, 7]], "input_dtypes": [1], "runtime_us_p0": 29.0, "runtime_us_p10": 30.0, "runtime_us_p50": 31.0, "runtime_us_p90": 33.0, "runtime_us_p100": 50.0, "device": "SM-G950U-7.0-24"}
"""  # noqa: E501 - a row is a line

PLAIN_CSV = """\
op,median_ms,p90_ms,spread,samples
conv in=224x224x3 out=32 kernel=3 stride=2,4.25,4.5,0.02,1000
"mbconv in=28x28x24 out=40 kernel=5 stride=2 expand=6 act=hswish se=40",1.5,1.75,0.03,1000
pool in=7x7x1280,0.015625,,,
classifier in=7x7x1280 out=1000,0.3125,0.375,0.01,1000
"""

GOOD = {
    "proxylessnas": PROXYLESSNAS,
    "ofa": OFA,
    "hw_nas_bench": HW_NAS_BENCH,
    "fbnet": FBNET.lstrip(),
    "plain_csv": PLAIN_CSV,
}
