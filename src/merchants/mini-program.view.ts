/** A mini-program with the merchants it takes payments for. */
export class MiniProgramView {
  object: 'mini_program';
  appid: string;
  name: string;
  mch_ids: string[];
  created_at: string;
}
