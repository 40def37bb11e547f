import { answers } from './suites/answers.js';

answers('v2');
