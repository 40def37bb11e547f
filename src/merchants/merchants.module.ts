import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Credential } from './credential.entity.js';
import { MerchantDirectory } from './merchant-account.js';
import { MerchantRate } from './merchant-rate.entity.js';
import { Merchant } from './merchant.entity.js';
import { MerchantsController, MiniProgramsController } from './merchants.controller.js';
import { MerchantsService } from './merchants.service.js';
import { MiniProgramMerchant } from './mini-program-merchant.entity.js';
import { MiniProgram } from './mini-program.entity.js';
import { MiniProgramsService } from './mini-programs.service.js';
import { SealedMerchantDirectory } from './sealed-directory.js';
import { Sealer } from './sealing.js';

/** Merchant configuration: merchant numbers, mini-programs, bindings, sealed credentials. */
@Module({
  imports: [TypeOrmModule.forFeature([Merchant, MerchantRate, MiniProgram, MiniProgramMerchant, Credential])],
  controllers: [MerchantsController, MiniProgramsController],
  providers: [
    MerchantsService,
    MiniProgramsService,
    Sealer,
    SealedMerchantDirectory,
    { provide: MerchantDirectory, useExisting: SealedMerchantDirectory },
  ],
  exports: [MerchantDirectory, Sealer],
})
export class MerchantsModule {}
