/** Lines of the service's log; everything else on standard output passes. */
const LINE = /^\{"time":.*"level":"(\w+)","message":"([^"]*)"/;

/**
 * Keeps the service's log off the terminal while `work` runs, since a campaign writes thousands of lines of incidents it has made itself.
 * Gives the error lines that are no incidents: a worker that stumbled.
 */
export async function withoutLog<T>(
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly stumbles: string[] }> {
  const stumbles: string[] = [];
  const write = process.stdout.write.bind(process.stdout);
  process.stdout.write = (text: string | Uint8Array, ...rest: never[]): boolean => {
    const [, level, message] = LINE.exec(String(text)) ?? [];
    if (level === undefined) return write(text, ...rest);
    if (level === 'error' && message !== 'incident') stumbles.push(String(text));
    return true;
  };
  try {
    return { result: await work(), stumbles };
  } finally {
    process.stdout.write = write;
  }
}
