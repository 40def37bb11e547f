import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { OrdersModule } from '../orders/orders.module.js';
import { Dispatcher } from './dispatcher.js';
import { GatewayCall } from './gateway-call.entity.js';
import { RefundInquiry } from './inquiry.js';
import { Reconciler } from './reconciler.js';
import { RefundActions } from './refund-actions.js';
import { RefundEvent } from './refund-event.entity.js';
import { RefundLedger } from './refund-ledger.js';
import { RefundReads } from './refund-reads.js';
import { RefundRepair } from './refund-repair.js';
import { RefundTargets } from './refund-targets.js';
import { Refund } from './refund.entity.js';
import { RefundsController } from './refunds.controller.js';
import { RefundsService } from './refunds.service.js';
import { Timeline } from './timeline.js';

/** The refund domain. Other Nest modules of a company may call `RefundsService.requestRefund` in process. */
@Module({
  imports: [OrdersModule, TypeOrmModule.forFeature([Refund, RefundEvent, GatewayCall])],
  controllers: [RefundsController],
  providers: [
    Dispatcher,
    Reconciler,
    RefundActions,
    RefundInquiry,
    RefundLedger,
    RefundReads,
    RefundRepair,
    RefundsService,
    RefundTargets,
    Timeline,
  ],
  exports: [RefundsService, RefundLedger, RefundInquiry, Reconciler],
})
export class RefundsModule {}
