import { Matches } from 'class-validator';
import { ListQuery } from '../common/http/paging.js';
import { Optional } from '../common/http/validators.js';
import { MCH_ID } from '../common/wire-names.js';

const RESULT = '(applied|repeat|waiting_for_query|unmatched|refused)';

export class ListNotificationsQuery extends ListQuery {
  @Optional()
  @Matches(MCH_ID)
  mch_id?: string;

  @Optional()
  @Matches(/^(refund|payment)$/)
  kind?: 'refund' | 'payment';

  /** Comma list of results. */
  @Optional()
  @Matches(new RegExp(`^${RESULT}(,${RESULT})*$`))
  result?: string;

  @Optional()
  @Matches(/^re_[0-9a-f]{32}$/)
  refund?: string;

  @Optional()
  @Matches(/^ord_[0-9a-f]{32}$/)
  order?: string;
}
