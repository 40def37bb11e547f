import { DataSource } from 'typeorm';
import { ApiKey } from '../../../src/access/api-key.entity.js';
import { dataSourceOptions } from '../../../src/database/data-source.js';
import { Credential } from '../../../src/merchants/credential.entity.js';
import { MerchantRate } from '../../../src/merchants/merchant-rate.entity.js';
import { Merchant } from '../../../src/merchants/merchant.entity.js';
import { MiniProgramMerchant } from '../../../src/merchants/mini-program-merchant.entity.js';
import { MiniProgram } from '../../../src/merchants/mini-program.entity.js';
import { Notification } from '../../../src/notifications/notification.entity.js';
import { PaymentOrder } from '../../../src/orders/payment-order.entity.js';
import { GatewayCall } from '../../../src/refunds/gateway-call.entity.js';
import { RefundEvent } from '../../../src/refunds/refund-event.entity.js';
import { Refund } from '../../../src/refunds/refund.entity.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.close());

it('entities and migrations describe the same schema', async () => {
  const entities = [
    ApiKey,
    Credential,
    GatewayCall,
    Merchant,
    MerchantRate,
    MiniProgram,
    MiniProgramMerchant,
    Notification,
    PaymentOrder,
    Refund,
    RefundEvent,
  ];
  const dataSource = await new DataSource(
    dataSourceOptions({ url: database.url, namedStatements: false, poolMax: 1, entities }),
  ).initialize();
  const { upQueries } = await dataSource.driver.createSchemaBuilder().log();
  await dataSource.destroy();
  expect(upQueries.map(({ query }) => query)).toEqual([]);
  const tables = await database.uow.query<{ name: string }>(
    `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migration'`,
    [],
  );
  expect(tables.map(({ name }) => name).sort()).toEqual(
    dataSource.entityMetadatas.map(({ tableName }) => tableName).sort(),
  );
});
