import {
  ArrayMaxSize,
  ArrayMinSize,
  ArrayUnique,
  IsArray,
  IsBoolean,
  IsIn,
  IsString,
  Length,
  Matches,
} from 'class-validator';
import { ListQuery } from '../common/http/paging.js';
import { Optional } from '../common/http/validators.js';
import { EVENT_TYPES, EVERY_TYPE } from './event-types.js';

const STATUS = '(pending|delivered|failed)';

export class CreateWebhookEndpointDto {
  /** https, port 443 or 8443, a host with public addresses only. */
  @IsString()
  @Length(1, 2000)
  url: string;

  /** Event types, or `*` for all of them. */
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(EVENT_TYPES.length + 1)
  @ArrayUnique()
  @IsIn([...EVENT_TYPES, EVERY_TYPE], { each: true })
  events: string[];

  /** Only events of these mini-programs; left out: all that the caller's key sees. */
  @Optional()
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(100)
  @ArrayUnique()
  @Matches(/^[0-9A-Za-z_-]{1,32}$/, { each: true })
  appids?: string[];

  @Optional()
  @IsString()
  @Length(1, 200)
  description?: string;
}

export class UpdateWebhookEndpointDto {
  @Optional()
  @IsString()
  @Length(1, 2000)
  url?: string;

  @Optional()
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(EVENT_TYPES.length + 1)
  @ArrayUnique()
  @IsIn([...EVENT_TYPES, EVERY_TYPE], { each: true })
  events?: string[];

  /** false stops sending; true sends what has waited since and forgives all failures. */
  @Optional()
  @IsBoolean()
  enabled?: boolean;
}

export class ListWebhookEndpointsQuery extends ListQuery {}

export class ListWebhookDeliveriesQuery extends ListQuery {
  @Optional()
  @Matches(/^we_[0-9a-f]{32}$/)
  endpoint?: string;

  @Optional()
  @Matches(/^evt_[0-9a-f]{32}$/)
  event?: string;

  /** Comma list of pending, delivered, failed. */
  @Optional()
  @Matches(new RegExp(`^${STATUS}(,${STATUS})*$`))
  status?: string;
}

export class ListEventsQuery extends ListQuery {
  /** Comma list of event types. */
  @Optional()
  @Matches(/^[a-z_.]{1,40}(,[a-z_.]{1,40}){0,20}$/)
  type?: string;

  /** Events of this refund. */
  @Optional()
  @Matches(/^re_[0-9a-f]{32}$/)
  refund?: string;

  /** Events of this order and of its refunds. */
  @Optional()
  @Matches(/^ord_[0-9a-f]{32}$/)
  order?: string;
}
