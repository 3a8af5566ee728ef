// What a model answers, as probabilities: some files end in a softmax, others in logits.

export function probabilities(output, answers) {
  return answers === "logits" ? softmax(output) : output;
}

function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = powers.reduce((total, power) => total + power);
  return powers.map((power) => power / sum);
}
