import type { LittleWechat } from '../../support/little-wechat.js';
import { RefundDomain } from '../../support/refund-domain.js';
import { Sealer } from '../../../src/merchants/sealing.js';
import { Inbox } from '../../../src/notifications/inbox.js';
import { NoticeConfirmer } from '../../../src/notifications/notice-confirmer.js';
import { RefundRepair } from '../../../src/refunds/refund-repair.js';
import type { Lane } from './lane.js';
import { Life, MortalUnitOfWork, MortalWire } from './mortal.js';

/** An instance of the service with its workers, on the lane's database and before the run's WeChat, that may die at any step. */
export class Instance {
  readonly life = new Life();
  readonly uow: MortalUnitOfWork;
  readonly domain: RefundDomain;
  readonly repairs: RefundRepair;
  private readonly confirmer: NoticeConfirmer;

  constructor(lane: Lane, wechat: LittleWechat) {
    const { database, settings } = lane;
    this.uow = new MortalUnitOfWork(database.dataSource, this.life);
    const wire = new MortalWire(wechat, this.life);
    this.domain = RefundDomain.on(database, settings, { gateway: wechat, wire, uow: this.uow });
    const { ledger, reads, reconciler, inquiry, directory } = this.domain;
    this.repairs = new RefundRepair(this.uow, ledger, reads, wire);
    const inbox = new Inbox(this.uow, new Sealer(settings), ledger, reconciler);
    this.confirmer = new NoticeConfirmer(this.uow, inbox, inquiry, directory, settings);
    this.domain.work();
    this.confirmer.onApplicationBootstrap();
  }

  wake(): void {
    this.domain.dispatcher.wake();
    this.domain.reconciler.wake();
  }

  async rest(): Promise<void> {
    await this.domain.rest();
    await this.confirmer.beforeApplicationShutdown();
  }
}
