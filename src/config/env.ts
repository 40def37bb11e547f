import { plainToInstance } from 'class-transformer';
import { IsIn, IsOptional, Matches, ValidateBy, validateSync } from 'class-validator';
import { LOG_LEVELS } from '../common/log.js';

/** Digits only, within bounds; numbers of the environment are never guessed. */
function IsIntegerText(min: number, max: number): PropertyDecorator {
  return ValidateBy({
    name: 'isIntegerText',
    validator: {
      validate: (value: unknown) =>
        typeof value === 'string' &&
        /^(0|[1-9][0-9]{0,9})$/.test(value) &&
        Number(value) >= min &&
        Number(value) <= max,
      defaultMessage: () => `must be a whole number from ${min} to ${max}`,
    },
  });
}

/** An absolute URL of one of the protocols, without user, query or fragment. */
function IsUrlText(
  protocols: readonly string[],
  options: { readonly credentials: boolean; readonly rootOnly?: boolean },
): PropertyDecorator {
  return ValidateBy({
    name: 'isUrlText',
    validator: {
      validate: (value: unknown) => {
        if (typeof value !== 'string' || !URL.canParse(value)) return false;
        const url = new URL(value);
        const bare = url.username === '' && url.password === '' && url.search === '' && url.hash === '';
        const rooted = !options.rootOnly || url.pathname === '/';
        return protocols.includes(url.protocol) && rooted && (options.credentials || bare);
      },
      defaultMessage: () => `must be a URL that starts with ${protocols.map((p) => `${p}//`).join(' or ')}`,
    },
  });
}

/**
 * Every variable of the service (design.md 10), as text. Absent means the default in settings.ts; an empty value is a fault.
 * `.env.example` lists the same names, which a test compares.
 */
export class Env {
  /** Absent: a PostgreSQL of our own in .data/. */
  @IsOptional()
  @IsUrlText(['postgres:', 'postgresql:'], { credentials: true })
  DATABASE_URL?: string;

  @IsOptional()
  @IsIntegerText(2, 100)
  DATABASE_POOL_MAX?: string;

  /** false behind a transaction-mode pooler. */
  @IsOptional()
  @IsIn(['true', 'false'])
  DATABASE_NAMED_STATEMENTS?: string;

  @IsOptional()
  @IsIntegerText(0, 65_535)
  PORT?: string;

  @IsOptional()
  @Matches(/^[0-9A-Za-z.:_-]+$/)
  HOST?: string;

  @IsOptional()
  @IsIn(['all', 'api', 'worker'])
  ROLE?: string;

  /** What WeChat calls: https, public. */
  @IsOptional()
  @IsUrlText(['https:', 'http:'], { credentials: false })
  PUBLIC_URL?: string;

  /** kid:base64, … of 32 bytes each. */
  @IsOptional()
  @Matches(/^[0-9A-Za-z_-]{1,32}:[0-9A-Za-z+/=]+(,[0-9A-Za-z_-]{1,32}:[0-9A-Za-z+/=]+)*$/, {
    message: 'must be kid:base64, with commas between several',
  })
  MASTER_KEYS?: string;

  @IsOptional()
  @Matches(/^.+$/)
  MASTER_KEYS_FILE?: string;

  @IsOptional()
  @Matches(/^[0-9A-Za-z_-]{1,32}$/)
  MASTER_KEY_ACTIVE?: string;

  @IsOptional()
  @Matches(/^.+$/)
  MASTER_KEY_ACTIVE_FILE?: string;

  /** At least 24 printable characters. */
  @IsOptional()
  @Matches(/^[\x21-\x7e]{24,200}$/, { message: 'must be 24 to 200 printable ASCII characters without blanks' })
  ADMIN_API_KEY?: string;

  @IsOptional()
  @Matches(/^.+$/)
  ADMIN_API_KEY_FILE?: string;

  @IsOptional()
  @IsUrlText(['https:'], { credentials: false, rootOnly: true })
  WECHATPAY_BASE_URL?: string;

  @IsOptional()
  @IsIn([...LOG_LEVELS])
  LOG_LEVEL?: string;

  @IsOptional()
  @IsIntegerText(1, 150)
  REFUND_RATE_PER_SECOND?: string;

  @IsOptional()
  @IsIntegerText(2, 6)
  REFUND_FAILURE_RATE_PER_SECOND?: string;

  @IsOptional()
  @IsIntegerText(1, 50)
  REFUNDS_PER_ORDER_MAX?: string;

  @IsOptional()
  @IsIntegerText(1, 365)
  REFUND_WINDOW_DAYS?: string;

  @IsOptional()
  @IsIntegerText(0, 86_400)
  REFUND_SPACING_SECONDS?: string;

  /** true: events may go to receivers on this machine, over http and any port; for development. */
  @IsOptional()
  @IsIn(['true', 'false'])
  WEBHOOK_ALLOW_LOOPBACK?: string;
}

/** The names of all variables, for `.env.example` and for picking ours from the environment. */
export const ENV_NAMES = [
  'DATABASE_URL',
  'DATABASE_POOL_MAX',
  'DATABASE_NAMED_STATEMENTS',
  'PORT',
  'HOST',
  'ROLE',
  'PUBLIC_URL',
  'MASTER_KEYS',
  'MASTER_KEYS_FILE',
  'MASTER_KEY_ACTIVE',
  'MASTER_KEY_ACTIVE_FILE',
  'ADMIN_API_KEY',
  'ADMIN_API_KEY_FILE',
  'WECHATPAY_BASE_URL',
  'LOG_LEVEL',
  'REFUND_RATE_PER_SECOND',
  'REFUND_FAILURE_RATE_PER_SECOND',
  'REFUNDS_PER_ORDER_MAX',
  'REFUND_WINDOW_DAYS',
  'REFUND_SPACING_SECONDS',
  'WEBHOOK_ALLOW_LOOPBACK',
] as const satisfies readonly (keyof Env)[];

/** One faulty variable; the message never holds its value. */
export interface EnvFault {
  readonly name: string;
  readonly message: string;
}

/** Checks each variable by itself; all faults at once. */
export function checkEnv(raw: NodeJS.ProcessEnv): { readonly env: Env; readonly faults: EnvFault[] } {
  const picked = Object.fromEntries(ENV_NAMES.flatMap((name) => (raw[name] === undefined ? [] : [[name, raw[name]]])));
  const env = plainToInstance(Env, picked);
  const faults = validateSync(env, { skipMissingProperties: false }).map((error) => ({
    name: error.property,
    message: Object.values(error.constraints ?? {})
      .join('; ')
      .replaceAll(`${error.property} `, ''),
  }));
  return { env, faults };
}
