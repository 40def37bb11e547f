import base from '../../jest.config.mjs';

/** Measurements: not part of `npm test`, since a number is no guarantee. */
export default {
  ...base,
  rootDir: '../..',
  testMatch: ['<rootDir>/test/bench/**/*.bench.ts'],
  maxWorkers: 1,
  testTimeout: 300_000,
  globals: { plansByValues: true },
};
