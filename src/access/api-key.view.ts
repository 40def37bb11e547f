import type { Role } from './caller.js';

/** An API key without its secret. */
export class ApiKeyView {
  id: string;
  object: 'api_key';
  name: string;
  role: Role;
  appids: string[] | null;
  created_at: string;
  created_by: string;
  expires_at: string | null;
}

/** A new key; `key` is shown this once. */
export class NewApiKeyView extends ApiKeyView {
  key: string;
}
