"""Measuring on Android phones, by adb and `benchmark_model`; the device itself is `profilers.devices.adb`."""
