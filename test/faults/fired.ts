/** What a campaign claims to have made happen, counted; one that did not make all of it happen is void. */
export class Fired {
  private readonly times = new Map<string, number>();

  /** `claimed`: everything that must have happened at least once by the end. */
  constructor(
    private readonly campaign: string,
    private readonly claimed: readonly string[],
  ) {}

  note(what: string): void {
    this.times.set(what, (this.times.get(what) ?? 0) + 1);
  }

  of(what: string): number {
    return this.times.get(what) ?? 0;
  }

  /** Throws, naming what was claimed and never happened: the campaign has shown nothing about it. */
  assertAll(): void {
    const missing = this.claimed.filter((what) => this.of(what) === 0);
    if (missing.length > 0) throw new Error(`${this.campaign} is void: it never fired ${missing.join(', ')}`);
  }

  /** `C01 5, C04 5, …` */
  summary(): string {
    return [...this.times].map(([what, times]) => `${what} ${times}`).join(', ');
  }
}
