/** What one step of `doctor` found, and what to change. */

export interface Step {
  readonly step: "url" | "broker" | "clock" | "identity" | "audience" | "whoami" | "explain" | "docker" | "registry";
  /** `warning`: it may work all the same; `skipped`: it could not be looked at. */
  readonly outcome: "ok" | "warning" | "failed" | "skipped";
  readonly says: string;
  /** What to do about it. */
  readonly change?: string;
}
