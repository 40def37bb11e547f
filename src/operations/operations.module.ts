import { Module } from '@nestjs/common';
import { DatabaseFiguresReader } from './database-figures.js';
import { MetricsController } from './metrics.controller.js';
import { Metrics } from './metrics.js';

/** For those who run the service: what it tells of itself. */
@Module({
  controllers: [MetricsController],
  providers: [DatabaseFiguresReader, Metrics],
})
export class OperationsModule {}
