/** Moves the time of this whole process: broker, vendor's SDK, cloud and issuer agree on it, and timers take as long as ever. Import it first. */

const Real = Date;
let aheadMs = 0;

class Moved extends Real {
  constructor(...parts: unknown[]) {
    super(...((parts.length === 0 ? [Moved.now()] : parts) as [number]));
  }
  static override now(): number {
    return Real.now() + aheadMs;
  }
}
globalThis.Date = Moved as DateConstructor;

export function advance(ms: number): void {
  aheadMs += ms;
}
