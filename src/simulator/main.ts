import { startSimulator } from './simulator.js';

/** `npm run simulator`: the simulator alone. One JSON line tells where it listens. */
const { SIMULATOR_PORT = '8443', SIMULATOR_CONTROL_PORT = '8444', SIMULATOR_DIRECTORY, SIMULATOR_HOST } = process.env;
const ports = [SIMULATOR_PORT, SIMULATOR_CONTROL_PORT].map(Number);
if (ports.some((port) => !Number.isInteger(port) || port < 0 || port > 65_535)) {
  process.stderr.write('SIMULATOR_PORT and SIMULATOR_CONTROL_PORT must be whole numbers from 0 to 65535\n');
  process.exit(1);
}
try {
  const [port = 0, controlPort = 0] = ports;
  const simulator = await startSimulator({ port, controlPort, directory: SIMULATOR_DIRECTORY, host: SIMULATOR_HOST });
  const where = { ready: true, port: simulator.port, control_port: simulator.controlPort, ca: simulator.caPath };
  process.stdout.write(`${JSON.stringify(where)}\n`);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => process.exit(0));
} catch (error) {
  process.stderr.write(`simulator: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
