import { Column, Entity, PrimaryColumn } from 'typeorm';

/** The day on which a warning was raised last. */
@Entity('warning')
export class RaisedWarning {
  /** What it is about: a credential, an API key, a merchant. */
  @PrimaryColumn({ name: 'subject', type: 'text', primaryKeyConstraintName: 'warning_pkey' })
  subject: string;

  /** Which warning; its threshold is part of the code. */
  @PrimaryColumn({ name: 'code', type: 'text', primaryKeyConstraintName: 'warning_pkey' })
  code: string;

  /** Database day, UTC. */
  @Column({ name: 'raised_on', type: 'date' })
  raisedOn: string;
}
