import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { MerchantsModule } from '../merchants/merchants.module.js';
import { OrderActions } from './order-actions.js';
import { OrderInquiry } from './order-inquiry.js';
import { OrderReconciler } from './order-reconciler.js';
import { OrdersController } from './orders.controller.js';
import { OrdersService } from './orders.service.js';
import { PaymentOrder } from './payment-order.entity.js';
import { Prepay } from './prepay.js';

/** Payment orders: prepay, register, payment status, query, close. */
@Module({
  imports: [MerchantsModule, TypeOrmModule.forFeature([PaymentOrder])],
  controllers: [OrdersController],
  providers: [OrdersService, OrderActions, OrderInquiry, OrderReconciler, Prepay],
  exports: [OrdersService],
})
export class OrdersModule {}
