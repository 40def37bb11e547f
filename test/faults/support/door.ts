import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { InjectOptions } from 'fastify';
import { createApplication } from '../../../src/application.js';
import { type Order, RefundDomain } from '../../support/refund-domain.js';
import { withinBudgetAsync } from './budget.js';
import { APPID, MCH_ID, SimulatedWechat } from './simulated-notices.js';
import type { SimulatedRefund } from '../../../src/simulator/world.js';

const WARM_UP = 40;
const ADMIN_KEY = 'admin_key_of_the_tests_0000000000';

/** What came back; a body as text. */
export interface Answered {
  readonly status: number;
  readonly body: string;
}

/** A refund that WeChat and we know, in the state each of them has it in. */
export interface KnownRefund {
  readonly uuid: string;
  readonly order: Order;
  readonly simulated: SimulatedRefund;
}

/**
 * The whole service in this process, without its workers: what a request does is done by the request alone. One merchant in `confirm`,
 * whose keys are those of a simulated WeChat in this process too.
 */
export class Door {
  private constructor(
    readonly domain: RefundDomain,
    readonly wechat: SimulatedWechat,
    private readonly app: NestFastifyApplication,
    /** Where notices go, as paths. */
    readonly paths: { readonly refund: string; readonly payment: string },
  ) {}

  static async open(): Promise<Door> {
    const domain = await RefundDomain.start({ ROLE: 'api' });
    const app = await createApplication(domain.settings, domain.database.url);
    await app.init();
    const instance = app.getHttpAdapter().getInstance();
    await instance.ready();
    const wechat = new SimulatedWechat();
    const door = new Door(domain, wechat, app, { refund: '', payment: '' });
    await door.ok('POST', '/v1/merchants', {
      mch_id: MCH_ID,
      name: 'test',
      api_version: 'v2',
      refund_notify: 'confirm',
    });
    const { merchant } = wechat;
    await door.ok('PUT', `/v1/merchants/${MCH_ID}/credentials`, {
      api_v2_key: merchant.apiV2Key,
      api_v3_key: merchant.apiV3Key,
      wechatpay_public_key_id: merchant.platform.publicKeyId,
      wechatpay_public_key_pem: merchant.platform.publicKeyPem,
    });
    await door.ok('POST', '/v1/mini_programs', { appid: APPID, name: 'test', mch_ids: [MCH_ID] });
    const { notify_urls: urls } = await door.ok('GET', `/v1/merchants/${MCH_ID}`);
    const { refund, payment } = urls as { refund: string; payment: string };
    const paths = { refund: new URL(refund).pathname, payment: new URL(payment).pathname };
    const opened = new Door(domain, wechat, app, paths);
    for (let n = 0; n < WARM_UP; n += 1) await opened.notice(paths.refund, '<xml><a>1</a></xml>');
    return opened;
  }

  async close(): Promise<void> {
    await this.app.close();
    await this.domain.close();
  }

  async send(options: InjectOptions): Promise<Answered> {
    const { statusCode, body } = await this.app.getHttpAdapter().getInstance().inject(options);
    return { status: statusCode, body };
  }

  /** A call of the REST API by an admin; `body` as it goes over the wire. */
  call(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH',
    url: string,
    body?: string,
    headers: InjectOptions['headers'] = {},
  ): Promise<Answered> {
    return this.send({
      method,
      url,
      headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json', ...headers },
      ...(body !== undefined && { payload: body }),
    });
  }

  /** A call that must succeed. */
  async ok(method: 'GET' | 'POST' | 'PUT', url: string, wish?: object): Promise<Record<string, unknown>> {
    const answer = await this.call(
      method,
      url,
      wish && JSON.stringify(wish),
      wish ? {} : { 'content-type': undefined },
    );
    if (answer.status >= 300) throw new Error(`${method} ${url}: ${answer.status} ${answer.body}`);
    return JSON.parse(answer.body) as Record<string, unknown>;
  }

  /** Delivers a notice once. */
  notice(
    path: string,
    body: string | Buffer,
    headers: InjectOptions['headers'] = { 'content-type': 'text/xml' },
  ): Promise<Answered> {
    return this.send({ method: 'POST', url: path, headers, payload: body });
  }

  /** The same within the budget of a hostile input, named by `what` when it is not. */
  refusedNotice(what: () => string, ...notice: Parameters<Door['notice']>): Promise<Answered> {
    return withinBudgetAsync(what, () => this.notice(...notice));
  }

  /** A refund that both sides know: accepted here, in `state` there. */
  async refund(state: SimulatedRefund['state'], amountFen = 300, apiVersion: 'v2' | 'v3' = 'v2'): Promise<KnownRefund> {
    const order = await this.domain.order({ mchId: MCH_ID, appid: APPID }, 1000 + amountFen);
    const { uuid, outRefundNo } = await this.domain.plant(order, 'accepted', amountFen, {
      api_version: `'${apiVersion}'`,
      first_sent_at: 'tuikuan_now()',
    });
    const simulated = this.wechat.refund(this.wechat.order(order.outTradeNo, order.paidFen), outRefundNo, {
      amountFen,
      state,
    });
    return { uuid, order, simulated };
  }

  /** What every table holds, as one hash each; the tables and columns left out are named. */
  async holds(): Promise<Record<string, string>> {
    const tables = await this.domain.sql<{ name: string }>(
      `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`,
    );
    const held: Record<string, string> = {};
    for (const { name } of tables) {
      const [row] = await this.domain.sql<{ hash: string }>(
        `SELECT count(*) || ':' || md5(coalesce(string_agg(t::text, '' ORDER BY t::text), '')) AS hash FROM "${name}" t`,
      );
      held[name] = row?.hash ?? '';
    }
    return held;
  }

  /** What moves money or tells of it: refunds but for the time of their next question, orders, and histories. */
  async money(): Promise<unknown> {
    const { refund_event: events, outgoing_event: told, payment_order: orders } = await this.holds();
    // Times as dates: whatever writes a row again cuts them to milliseconds.
    const refunds = await this.domain.sql(
      `SELECT id, state, state_since, version, amount_fen, booked_outside, refund_id, first_sent_at, in_doubt_since, lease_token,
         next_attempt_at, attempts, failure_code, succeeded_at
       FROM refund ORDER BY id`,
    );
    return { events, told, orders, refunds };
  }
}
