#!/usr/bin/env node
import 'reflect-metadata';
import { runCommand } from './commands/run.js';
import { logToStandardError, setLogLevel } from './common/log.js';

/** The command line of those who run the service; everything else is REST. */
logToStandardError();
setLogLevel('warn');
process.exitCode = await runCommand(process.argv.slice(2), process.env, {
  answer: (text) => void process.stdout.write(`${text}\n`),
  aside: (text) => void process.stderr.write(`${text}\n`),
});
