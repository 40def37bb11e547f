import type { EntityManager } from 'typeorm';
import { WorkerUnitOfWork } from '../../../src/database/unit-of-work.js';
import type {
  ListAnswer,
  PreparedSend,
  QueryAnswer,
  RefundGateway,
  RefundListQuery,
  RefundQuery,
  RefundRequest,
  RepairRequest,
  SendAnswer,
} from '../../../src/refunds/refund-gateway.port.js';

class Died extends Error {}

/**
 * The life of an instance that may end between any two steps: statements, commits, requests and answers. After its end nothing it
 * began is ever settled, and what it had not committed is rolled back, as after SIGKILL.
 */
export class Life {
  alive = true;
  /** Resolves at its end. */
  readonly end: Promise<void>;
  private stepsLeft = Infinity;
  private over: () => void = () => undefined;

  constructor() {
    this.end = new Promise((resolve) => (this.over = resolve));
  }

  /** Ends after so many steps more; Infinity for never. */
  endAfter(steps: number): void {
    this.stepsLeft = steps;
  }

  step(): void {
    if (this.alive && (this.stepsLeft -= 1) < 0) {
      this.alive = false;
      this.over();
    }
    if (!this.alive) throw new Died();
  }

  /** The work as its caller sees it: never settled once this life is over. */
  async keep<T>(work: () => Promise<T>): Promise<T> {
    try {
      if (this.alive) return await work();
    } catch (error) {
      if (this.alive) throw error;
    }
    return new Promise<never>(() => undefined);
  }
}

/** Units of work of an instance that may die. It remembers the calls it has claimed, whose ids are their lease tokens. */
export class MortalUnitOfWork extends WorkerUnitOfWork {
  readonly claimed = new Set<string>();

  constructor(
    dataSource: ConstructorParameters<typeof WorkerUnitOfWork>[0],
    private readonly life: Life,
  ) {
    super(dataSource);
  }

  override run<T>(work: (tx: EntityManager) => Promise<T>): Promise<T> {
    return this.life.keep(async () => {
      const result = await super.run(async (tx) => {
        const worked = await work(this.mortal(tx));
        this.life.step();
        return worked;
      });
      this.life.step();
      return result;
    });
  }

  override query<T>(sql: string, parameters: readonly unknown[]): Promise<T[]> {
    return this.life.keep(async () => {
      this.life.step();
      const rows = await super.query<T>(sql, parameters);
      this.life.step();
      return rows;
    });
  }

  private mortal(tx: EntityManager): EntityManager {
    const mortal = Object.create(tx) as EntityManager;
    mortal.query = async <T>(sql: string, parameters?: unknown[]): Promise<T> => {
      this.life.step();
      const answer = await tx.query<T>(sql, parameters);
      for (const row of Array.isArray(answer) ? (answer as unknown[]) : []) this.remember(row);
      return answer;
    };
    return mortal;
  }

  private remember(row: unknown): void {
    if (typeof row !== 'object' || row === null || !('call_id' in row)) return;
    if (typeof row.call_id === 'string') this.claimed.add(row.call_id);
  }
}

/** The way to WeChat of an instance that may die before a request and before its answer. */
export class MortalWire implements RefundGateway {
  constructor(
    private readonly inner: RefundGateway,
    private readonly life: Life,
  ) {}

  warm(mchId: string, count: number): Promise<number> {
    return this.inner.warm(mchId, count);
  }

  prepare(request: RefundRequest): Promise<PreparedSend> {
    return this.stepping(async () => {
      const { obstacle, send } = await this.inner.prepare(request);
      return { obstacle, send: (mayWrite) => this.stepping(() => send(mayWrite)) };
    });
  }

  query(request: RefundQuery): Promise<QueryAnswer> {
    return this.stepping(() => this.inner.query(request));
  }

  list(request: RefundListQuery): Promise<ListAnswer> {
    return this.stepping(() => this.inner.list(request));
  }

  repair(request: RepairRequest): Promise<SendAnswer> {
    return this.stepping(() => this.inner.repair(request));
  }

  private stepping<T>(call: () => Promise<T>): Promise<T> {
    return this.life.keep(async () => {
      this.life.step();
      const answer = await call();
      this.life.step();
      return answer;
    });
  }
}
