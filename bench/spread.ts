/** Of many measurements: the median counts, the tenths say how far to believe it. */
export interface Spread {
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
}

export function spread(times: readonly number[]): Spread {
  return { median: shareOf(times, 0.5), p10: shareOf(times, 0.1), p90: shareOf(times, 0.9) };
}

/** The measurement that so large a share of them is below. */
export function shareOf(times: readonly number[], share: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length * share)] as number;
}
