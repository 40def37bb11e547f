import process from 'node:process';
import base from '../../jest.config.mjs';

const { globalSetup: _setup, globalTeardown: _teardown, ...rest } = base;

/** The specs that stand beside the mutated files and need no database; `run.mjs` names them. */
export default {
  ...rest,
  rootDir: '../..',
  testMatch: (process.env.MUTATION_SPECS ?? '').split(' ').map((spec) => `<rootDir>/${spec}`),
  maxWorkers: 1,
};
