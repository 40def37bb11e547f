/** Import rules of the module tree; `npm run depcruise` and test/architecture.spec.ts run them. */
const folder = (name, allowed, comment) => ({
  name: `${name}-imports`,
  comment,
  severity: 'error',
  from: { path: `^src/${name}/`, pathNot: '\\.spec\\.ts$' },
  to: { path: '^src/', pathNot: `^src/(${[name, ...allowed].join('|')})/` },
});

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, pathNot: '(\\.spec|\\.d)\\.ts$' },
      to: {},
    },
    folder('common', [], 'common is the bottom: it imports nothing from src'),
    folder('config', ['common'], 'the only reader of the environment'),
    folder('database', ['common', 'config'], 'knows no business module'),
    folder('access', ['common', 'config', 'database'], 'keys, roles, scope'),
    folder('merchants', ['common', 'config', 'database', 'access'], 'merchant configuration'),
    folder('orders', ['common', 'config', 'database', 'access', 'merchants'], 'orders know no refund code'),
    folder(
      'refunds',
      ['common', 'config', 'database', 'access', 'merchants', 'orders'],
      'the domain; the gateway is its port',
    ),
    folder(
      'wechat-pay',
      ['common', 'config', 'database', 'merchants', 'refunds', 'orders'],
      'implements the ports; decides nothing',
    ),
    folder(
      'notifications',
      ['common', 'config', 'database', 'access', 'merchants', 'orders', 'refunds', 'wechat-pay'],
      'the callback door',
    ),
    folder(
      'events',
      ['common', 'config', 'database', 'access', 'merchants', 'orders', 'refunds'],
      'sends what orders and refunds have written; they know nothing of it',
    ),
    folder(
      'operations',
      [
        'common',
        'config',
        'database',
        'access',
        'merchants',
        'orders',
        'refunds',
        'wechat-pay',
        'notifications',
        'events',
      ],
      'what the service tells its operators; nothing of the business knows it',
    ),
    {
      name: 'commands-imports',
      comment: 'the command line: the service’s own code without a server; only cli.ts knows it',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(commands/|cli\\.ts)' },
      to: { path: '^src/commands/' },
    },
    folder('simulator', [], 'a separate app: a mistake of ours must not cancel itself out'),
    {
      name: 'simulator-is-apart',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/simulator/' },
      to: { path: '^src/simulator/' },
    },
    {
      name: 'independent-crypto-only-in-the-simulator',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/simulator/' },
      to: { path: 'wechatpay-axios-plugin' },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '\\.spec\\.ts$' },
    enhancedResolveOptions: { extensions: ['.ts', '.js'] },
  },
};
