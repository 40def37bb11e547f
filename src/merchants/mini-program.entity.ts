import { Check, Column, Entity, PrimaryColumn } from 'typeorm';

/** A mini-program that takes payments. */
@Entity('mini_program')
@Check('mini_program_appid_check', `appid ~ '^[0-9A-Za-z_-]{1,32}$'`)
export class MiniProgram {
  /** WeChat app id. */
  @PrimaryColumn({ name: 'appid', type: 'text', primaryKeyConstraintName: 'mini_program_pkey' })
  appid: string;

  /** For people. */
  @Column({ name: 'name', type: 'text' })
  name: string;

  /** Database time. */
  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt: Date;

  /** Database time. */
  @Column({ name: 'updated_at', type: 'timestamptz' })
  updatedAt: Date;
}
