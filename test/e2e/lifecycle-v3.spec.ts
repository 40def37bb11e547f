import { lifecycle } from './suites/lifecycle.js';

lifecycle('v3');
