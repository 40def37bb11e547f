import { readFileSync } from 'node:fs';

/** One call of the REST API, as openapi.json has it. */
export interface Route {
  readonly method: string;
  /** With its parameters in braces. */
  readonly path: string;
}

interface Operation {
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
}
type Paths = Readonly<Record<string, Readonly<Record<string, Operation>>>>;

const { paths } = JSON.parse(readFileSync('openapi.json', 'utf8')) as { readonly paths: Paths };

/** Every route of openapi.json, so that a new one is tested without anybody thinking of it. */
export function routes(): Route[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => ({ method: method.toUpperCase(), path })),
  );
}

/** A list without pages. */
const EXPORT = '/v1/refunds/export';

/** The paths that answer a page of rows. */
export function lists(): string[] {
  return routes()
    .filter(({ method, path }) => method === 'GET' && path.startsWith('/v1/') && !path.includes('{') && path !== EXPORT)
    .map(({ path }) => path);
}

/** The query parameters that the document names for a list. */
export function documentedQuery(path: string): string[] {
  const parameters = paths[path]?.['get']?.parameters ?? [];
  return parameters.filter((parameter) => parameter.in === 'query').map(({ name }) => name);
}
