import { Controller, Get, Header } from '@nestjs/common';
import { ApiBearerAuth, ApiProduces, ApiTags } from '@nestjs/swagger';
import { RequireRole } from '../access/access.decorators.js';
import { Metrics } from './metrics.js';

/** Figures for Prometheus. They name merchants, so they need a key like everything else. */
@ApiTags('operations')
@ApiBearerAuth()
@Controller('metrics')
export class MetricsController {
  constructor(private readonly metrics: Metrics) {}

  /** Text exposition format 0.0.4. */
  @Get()
  @RequireRole('viewer', { unscopedOnly: true })
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  @ApiProduces('text/plain')
  read(): Promise<string> {
    return this.metrics.text();
  }
}
