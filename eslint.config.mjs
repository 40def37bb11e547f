import js from '@eslint/js';
import tseslint from 'typescript-eslint';

const onlyIn = (selector, message) => ({ selector, message });

/** A constructor takes what it depends on; every other function at most four parameters. */
const MANY_PARAMETERS = onlyIn(
  ":function[params.length>4]:not(MethodDefinition[kind='constructor'] > FunctionExpression)",
  'More than four parameters: make them an object.',
);

/** Calls that have one home each; every other place gets them injected or passed in. */
const CLOCK = onlyIn(
  "CallExpression[callee.object.name='Date'][callee.property.name='now'], NewExpression[callee.name='Date'][arguments.length=0]",
  'Wall-clock time is read in common/clock.ts only.',
);
const ENVIRONMENT = onlyIn(
  "MemberExpression[object.name='process'][property.name='env']",
  'The environment is read in src/config (and by the simulator, for itself) only.',
);
const FLOAT_MONEY = onlyIn(
  "CallExpression[callee.name='parseFloat'], CallExpression[callee.property.name=/^(toFixed|parseFloat)$/]",
  'Money is integer fen: no floats.',
);

const UNCHECKED = onlyIn(
  'Decorator[expression.callee.name=/^(Body|Query)$/]',
  'Bodies and queries are checked: @CheckedBody(), @CheckedQuery().',
);

export default tseslint.config(
  { ignores: ['node_modules', 'dist', '.data', 'coverage', '*.cjs', 'examples/**/*.d.ts'] },
  js.configs.recommended,
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['*.mjs', 'test/support/*.mjs'] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      'max-lines': ['error', { max: 300 }],
      'max-lines-per-function': ['error', { max: 70, skipBlankLines: true, skipComments: true }],
      complexity: ['error', 10],
      eqeqeq: 'error',
      'no-console': 'error',
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: { 'no-restricted-syntax': ['error', MANY_PARAMETERS, CLOCK, ENVIRONMENT, FLOAT_MONEY, UNCHECKED] },
  },
  {
    files: ['src/common/clock.ts'],
    rules: { 'no-restricted-syntax': ['error', MANY_PARAMETERS, ENVIRONMENT, FLOAT_MONEY] },
  },
  // The entry points hand the environment to config.
  {
    files: ['src/config/**/*.ts', 'src/main.ts', 'src/cli.ts'],
    rules: { 'no-restricted-syntax': ['error', MANY_PARAMETERS, CLOCK, FLOAT_MONEY] },
  },
  {
    files: ['src/simulator/**/*.ts'],
    rules: { 'no-restricted-syntax': ['error', MANY_PARAMETERS, FLOAT_MONEY], 'no-console': 'off' },
  },
  {
    files: ['**/*.spec.ts', 'test/**/*.ts'],
    rules: {
      'max-lines-per-function': 'off',
      'no-restricted-syntax': 'off',
      'max-lines': ['error', { max: 500 }],
      'no-console': 'off',
      '@typescript-eslint/unbound-method': 'off',
      // jest's asymmetric matchers are any.
      '@typescript-eslint/no-unsafe-assignment': 'off',
    },
  },
  { files: ['**/*.mjs'], ...tseslint.configs.disableTypeChecked },
  {
    files: ['test/bench/**/*.mjs'],
    languageOptions: {
      globals: { Buffer: false, fetch: false, performance: false, process: false, setImmediate: false, URL: false },
    },
  },
);
