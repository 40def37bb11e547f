export const ROLES = ['viewer', 'operator', 'admin'] as const;
export type Role = (typeof ROLES)[number];

/** Whom a credential stands for. Scope comes from it only, never from a body, query or header. */
export interface Identity {
  /** `key_…`, or `admin` for ADMIN_API_KEY. */
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  /** The apps this caller sees and changes; null for all. */
  readonly appids: readonly string[] | null;
}

/** Who asks. */
export interface Caller extends Identity {
  /** Where the request came from, and the x-request-id of its answer; null for the command line. */
  readonly address: string | null;
  readonly requestId: string | null;
}

/** Whoever runs a command of the tool. */
export const COMMAND_LINE: Caller = {
  id: 'command_line',
  name: 'command line',
  role: 'admin',
  appids: null,
  address: null,
  requestId: null,
};

/** True when `caller` may do what `needed` may. */
export function hasRole(caller: Caller, needed: Role): boolean {
  return ROLES.indexOf(caller.role) >= ROLES.indexOf(needed);
}

/** True when what belongs to `appid` is visible to the caller. */
export function seesApp(caller: Caller, appid: string): boolean {
  return caller.appids === null || caller.appids.includes(appid);
}
