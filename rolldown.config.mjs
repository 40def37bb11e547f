const LOADS_BY_ITSELF = /@nestjs\/(typeorm\/dist\/common\/typeorm-compat|mapped-types\/dist\/type-helpers\.utils)\.js$/;

/** These two load TypeORM and class-validator by a `require` of their own: a second copy of each, and a fifth of the time of a start. */
const oneCopy = {
  name: 'one-copy',
  transform: {
    filter: { id: LOADS_BY_ITSELF },
    handler: (code) => code.replace('const require = createRequire(import.meta.url);', ''),
  },
};

/**
 * The last step of `npm run build`: what the entry points load goes into a few files, so that a start takes 1.2 s of processor time instead
 * of 3.2, and a command half of that; Node spends the rest on finding 2,400 modules. The modules stay beside them in `dist`, one file each.
 */
export default {
  input: { main: 'dist/main.js', cli: 'dist/cli.js', openapi: 'dist/openapi.js' },
  platform: 'node',
  plugins: [oneCopy],
  // As deep as the modules, which find `migrations/` from where they are.
  output: { dir: 'dist', entryFileNames: '[name].js', chunkFileNames: 'bundled/[name]-[hash].js' },
  external: [
    // Loaded at run time only where they are installed.
    /^@nestjs\/(microservices|websockets|platform-express)/,
    /^@fastify\/(multipart|view)$/,
    /^(class-transformer\/storage|pg-native|pg-query-stream)$/,
    // Drivers of other databases that TypeORM knows.
    /^(@google-cloud\/spanner|@sap\/hana-client|hdb-pool|mysql2?|oracledb|typeorm-aurora-data-api-driver|(io)?redis|better-sqlite3|sqlite3|sql\.js|mssql|mongodb|react-native-sqlite-storage)/,
    // One copy, so that the crash campaign can stand between it and the database.
    'pg',
  ],
};
