/** Of many measurements: the median counts, the tenths say how far to believe it. */
export interface Spread {
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
}

export function spread(times: readonly number[]): Spread {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.floor(sorted.length * share)] as number;
  return { median: at(0.5), p10: at(0.1), p90: at(0.9) };
}
