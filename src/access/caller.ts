export const ROLES = ['viewer', 'operator', 'admin'] as const;
export type Role = (typeof ROLES)[number];

/** Who asks. Scope comes from the credential only, never from a body, query or header. */
export interface Caller {
  /** `key_…`, or `admin` for ADMIN_API_KEY. */
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  /** The apps this caller sees and changes; null for all. */
  readonly appids: readonly string[] | null;
}

/** True when `caller` may do what `needed` may. */
export function hasRole(caller: Caller, needed: Role): boolean {
  return ROLES.indexOf(caller.role) >= ROLES.indexOf(needed);
}

/** True when what belongs to `appid` is visible to the caller. */
export function seesApp(caller: Caller, appid: string): boolean {
  return caller.appids === null || caller.appids.includes(appid);
}
