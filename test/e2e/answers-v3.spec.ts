import { answers } from './suites/answers.js';

answers('v3');
