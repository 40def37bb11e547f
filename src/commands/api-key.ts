import { plainToInstance } from 'class-transformer';
import { validateSync } from 'class-validator';
import { CreateApiKeyDto } from '../access/api-keys.dto.js';
import { ApiKeys } from '../access/api-keys.js';
import { COMMAND_LINE } from '../access/caller.js';
import { type Command, EXIT_CODES, type OptionValues, textOf, WrongUsage } from './command.js';
import { withService } from './service.js';

/** Makes an API key without a running server. Its text is printed this once. */
export const createApiKey: Command = {
  options: {
    name: { type: 'string' },
    role: { type: 'string' },
    appid: { type: 'string', multiple: true },
    'expires-at': { type: 'string' },
  },
  run: async (values, { environment }) => {
    const wish = wishOf(values);
    const key = await withService(environment, (app) => app.get(ApiKeys).create(COMMAND_LINE, wish));
    const scope = key.appids === null ? 'every mini-program' : key.appids.join(', ');
    const lines = [key.key, `${key.id} · ${key.role} of ${scope} · it is shown this once`];
    return { exitCode: EXIT_CODES.ok, lines, json: key };
  },
};

/** By the rules of POST /v1/api_keys. */
function wishOf(values: OptionValues): CreateApiKeyDto {
  const wish = plainToInstance(CreateApiKeyDto, {
    name: values['name'],
    role: values['role'],
    ...(values['appid'] !== undefined && { appids: values['appid'] }),
    ...(values['expires-at'] !== undefined && { expires_at: textOf(values, 'expires-at') }),
  });
  const [fault] = validateSync(wish);
  if (fault) throw new WrongUsage(Object.values(fault.constraints ?? {}).join('; '));
  return wish;
}
