import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DatabaseFiguresReader } from './database-figures.js';
import { MetricsController } from './metrics.controller.js';
import { Metrics } from './metrics.js';
import { WarningWatch } from './warning-watch.js';
import { RaisedWarning } from './warning.entity.js';
import { Warnings } from './warnings.js';

/** For those who run the service: what it tells of itself. */
@Module({
  imports: [TypeOrmModule.forFeature([RaisedWarning])],
  controllers: [MetricsController],
  providers: [DatabaseFiguresReader, Metrics, Warnings, WarningWatch],
  exports: [Warnings],
})
export class OperationsModule {}
