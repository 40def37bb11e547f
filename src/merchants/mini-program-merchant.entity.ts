import { Entity, ForeignKey, PrimaryColumn } from 'typeorm';
import { Merchant } from './merchant.entity.js';
import { MiniProgram } from './mini-program.entity.js';

/** A binding: the app takes payments for the merchant. */
@Entity('mini_program_merchant')
@ForeignKey(() => MiniProgram, ['appid'], ['appid'], { name: 'mini_program_merchant_appid_fkey' })
@ForeignKey(() => Merchant, ['mchId'], ['mchId'], { name: 'mini_program_merchant_mch_id_fkey' })
export class MiniProgramMerchant {
  /** The app. */
  @PrimaryColumn({ name: 'appid', type: 'text', primaryKeyConstraintName: 'mini_program_merchant_pkey' })
  appid: string;

  /** The merchant. */
  @PrimaryColumn({ name: 'mch_id', type: 'text', primaryKeyConstraintName: 'mini_program_merchant_pkey' })
  mchId: string;
}
