interface Timer {
  readonly atMs: number;
  readonly work: () => void;
}

const TICK_MS = 20;

/** The simulator's time: the machine's, shifted and scaled, so that three days of retries pass in seconds. */
export class SimulatedClock {
  private baseMs = Date.now();
  private baseRealMs = performance.now();
  private rate = 1;
  private timers: Timer[] = [];
  private readonly ticking = setInterval(() => this.fireDue(), TICK_MS);

  constructor() {
    this.ticking.unref();
  }

  /** Simulated milliseconds since 1970. */
  nowMs(): number {
    return this.baseMs + (performance.now() - this.baseRealMs) * this.rate;
  }

  /** Runs `work` once the simulated time has come. */
  after(delayMs: number, work: () => void): void {
    this.timers.push({ atMs: this.nowMs() + delayMs, work });
  }

  /** Sets how many simulated seconds pass in a real one, and jumps forward. */
  change(change: { readonly rate?: number | undefined; readonly advanceSeconds?: number | undefined }): void {
    this.baseMs = this.nowMs() + (change.advanceSeconds ?? 0) * 1000;
    this.baseRealMs = performance.now();
    this.rate = change.rate ?? this.rate;
    this.fireDue();
  }

  get currentRate(): number {
    return this.rate;
  }

  stop(): void {
    clearInterval(this.ticking);
  }

  private fireDue(): void {
    const nowMs = this.nowMs();
    const due = this.timers.filter(({ atMs }) => atMs <= nowMs).sort((a, b) => a.atMs - b.atMs);
    if (due.length === 0) return;
    this.timers = this.timers.filter(({ atMs }) => atMs > nowMs);
    for (const { work } of due) work();
  }
}
