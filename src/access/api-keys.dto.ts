import { ArrayMaxSize, ArrayMinSize, IsArray, IsIn, IsString, Length, Matches } from 'class-validator';
import { IsTime, Optional } from '../common/http/validators.js';
import { APPID } from '../common/wire-names.js';
import { type Role, ROLES } from './caller.js';

export class CreateApiKeyDto {
  @IsString()
  @Length(1, 100)
  name: string;

  @IsIn([...ROLES])
  role: Role;

  /** Binds the key to these mini-programs: it sees and changes only what belongs to them. */
  @Optional()
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(100)
  @Matches(APPID, { each: true })
  appids?: string[];

  /** RFC 3339. */
  @Optional()
  @IsTime()
  expires_at?: string;
}
