import type { Command } from 'commander';
import { ProvisionerError } from '../../../base/errors.js';
import { loggedInAs, login, type UserCredentials } from '../../../index.js';
import type { Cli } from '../../cli.js';
import type { HostProcess } from '../../host-process.js';
import { askOnTerminal } from '../../input/ask-on-terminal.js';
import { readSecretLine } from '../../input/read-secret-line.js';
import type { COMMAND_WARNINGS } from '../../output/command-codes.js';
import { loginDocument, loginNameDocument } from '../../output/documents/remote-document.js';
import { addAuthFileFlag, addConnectionFlags, type ConnectionFlags, connectionOptions } from '../../registry-flags.js';
import { UsageError } from '../../usage-error.js';

interface LoginFlags extends ConnectionFlags {
  readonly username?: string;
  readonly password?: string;
  readonly passwordStdin?: boolean;
  readonly getLogin?: boolean;
  readonly authfile?: string;
}

const DOCKER_HUB = 'docker.io';

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Logs in to a registry: shows it a name and a password, and keeps them where pulls, podman and skopeo find them. No store is needed.',
    )
    .argument('[registry]', `REGISTRY, or REGISTRY/PATH for what lies below that path (default: ${DOCKER_HUB})`)
    .option('-u, --username <name>', 'the name (default: asked for on a terminal)')
    .option('-p, --password <password>', 'the password; others on this machine can see it while it runs')
    .option('--password-stdin', 'the password is the one line of standard input')
    .option('--get-login', 'only print the name that pulls use; no registry is asked');
  addAuthFileFlag(command, 'where to keep them (environment: REGISTRY_AUTH_FILE)');
  addConnectionFlags(command);
  command
    .addHelpText(
      'after',
      `
Examples:
  provisioner login registry.example:5000
  provisioner login registry.example/team -u me --password-stdin < password.txt
  provisioner login --authfile ~/.docker/config.json -u me    # for docker, too`,
    )
    .action(async (named: string | undefined, flags: LoginFlags) => {
      const registry = named ?? DOCKER_HUB;
      const { authfile: authFile, getLogin = false, ...how } = flags;
      if (getLogin) {
        requireAlone(how);
        return printLogin(registry, authFile, cli);
      }
      const ask = whoToAsk(how, cli.host);
      await cli.withoutStore(async ({ output, signal }) => {
        if (how.password !== undefined) output.warning(passwordShown());
        const credentials = await ask(registry, authFile);
        const done = await login(registry, credentials, { authFile, registry: connectionOptions(how), signal });
        const { key, username, file, helper, verified } = done;
        if (!verified) output.warning(unproven(key));
        output.line(
          `logged in to ${key} as ${username}; kept ${helper === null ? `in ${file}` : `by docker-credential-${helper}`}`,
        );
        output.document(() => loginDocument(done));
      });
    });
}

/** @throws UsageError for what says how a registry is asked, where none is */
function requireAlone(others: Omit<LoginFlags, 'authfile' | 'getLogin'>): void {
  if (Object.values(others).some((value) => value !== undefined))
    throw new UsageError('--get-login asks no registry, and goes with --authfile alone', 'leave the other options out');
}

type Ask = (registry: string, authFile: string | undefined) => Promise<UserCredentials>;

/** @throws UsageError where there is nobody to be asked */
function whoToAsk({ username, password, passwordStdin = false }: LoginFlags, host: HostProcess): Ask {
  if (passwordStdin && password !== undefined)
    throw new UsageError('--password-stdin does not go with --password', 'leave --password out');
  if (passwordStdin && username === undefined)
    throw new UsageError('--password-stdin needs --username', 'write -u NAME');
  if (username !== undefined && password !== undefined) return async () => ({ username, password });
  const stdin = host.stdin();
  const isTerminal = stdin.isTTY === true;
  if (passwordStdin && username !== undefined && !isTerminal)
    return async () => ({ username, password: await readSecretLine(stdin, host.signal) });
  if (isTerminal) return (registry, authFile) => askForRest(username, password, host, registry, authFile);
  stdin.destroy();
  throw new UsageError(
    `standard input is no terminal, so nobody can be asked for ${username === undefined ? 'the name and ' : ''}the password`,
    'write -u NAME --password-stdin, and give the password on standard input',
  );
}

async function askForRest(
  username: string | undefined,
  password: string | undefined,
  host: HostProcess,
  registry: string,
  authFile: string | undefined,
): Promise<UserCredentials> {
  const known = username === undefined ? await loggedInAs(registry, { authFile, signal: host.signal }) : undefined;
  const usual = known === '<token>' ? undefined : known;
  const answers = await askOnTerminal(host, [
    ...(username === undefined ? [{ text: usual === undefined ? 'Username: ' : `Username (${usual}): ` }] : []),
    ...(password === undefined ? [{ text: 'Password: ', secret: true }] : []),
  ]);
  return {
    username: username ?? (answers.shift() || usual || ''),
    password: password ?? answers.shift() ?? '',
  };
}

async function printLogin(registry: string, authFile: string | undefined, cli: Cli): Promise<void> {
  await cli.withoutStore(async ({ output, signal }) => {
    const username = await loggedInAs(registry, { authFile, signal });
    if (username === undefined) {
      throw new ProvisionerError('ERR_NOT_LOGGED_IN', `nobody has logged in to ${registry}`, {
        hint: `\`provisioner login ${registry}\` does`,
        details: { registry },
      });
    }
    output.line(username);
    output.document(() => loginNameDocument(registry, username));
  });
}

function passwordShown() {
  return {
    code: 'PASSWORD_SHOWN' satisfies keyof typeof COMMAND_WARNINGS,
    message: 'others on this machine can see a password on the command line: prefer --password-stdin',
    details: {},
  };
}

function unproven(key: string) {
  return {
    code: 'CREDENTIALS_UNPROVEN' satisfies keyof typeof COMMAND_WARNINGS,
    message: `${key} asks for no credentials, so these are kept as they are, right or wrong`,
    details: { registry: key },
  };
}
