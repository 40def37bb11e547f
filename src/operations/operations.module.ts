import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { MerchantsModule } from '../merchants/merchants.module.js';
import { DatabaseFiguresReader } from './database-figures.js';
import { MetricsController } from './metrics.controller.js';
import { Metrics } from './metrics.js';
import { KeyRotation } from './key-rotation.js';
import { WarningWatch } from './warning-watch.js';
import { RaisedWarning } from './warning.entity.js';
import { Warnings } from './warnings.js';

/** For those who run the service: what it tells of itself. */
@Module({
  imports: [MerchantsModule, TypeOrmModule.forFeature([RaisedWarning])],
  controllers: [MetricsController],
  providers: [DatabaseFiguresReader, KeyRotation, Metrics, Warnings, WarningWatch],
  exports: [Warnings],
})
export class OperationsModule {}
