import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { addLaunchFlags } from '#src/cli/running/flags/launch-flags.js';
import { REFUSED_BY_EXEC, REFUSED_BY_RUN, type RefusedFlag } from '#src/cli/running/flags/refused-flags.js';
import { runInMemory } from './run-in-memory.js';

/** Those of `docker run --help` (27.5), but for such as are for Windows alone, with which a value goes. */
const DOCKER_RUN = `
  --add-host= --annotation= --attach= --blkio-weight= --blkio-weight-device= --cap-add= --cap-drop= --cgroup-parent= --cgroupns= --cidfile= --cpu-period= --cpu-quota=
  --cpu-rt-period= --cpu-rt-runtime= --cpu-shares= --cpus= --cpuset-cpus= --cpuset-mems= --detach --detach-keys= --device= --device-cgroup-rule= --device-read-bps=
  --device-read-iops= --device-write-bps= --device-write-iops= --dns= --dns-option= --dns-search= --domainname= --entrypoint= --env= --env-file= --expose= --gpus= --group-add=
  --health-cmd= --health-interval= --health-retries= --health-start-interval= --health-start-period= --health-timeout= --hostname= --init --interactive --ip= --ip6= --ipc=
  --label= --label-file= --link= --link-local-ip= --log-driver= --log-opt= --mac-address= --memory= --memory-reservation= --memory-swap= --memory-swappiness= --mount= --name=
  --network= --network-alias= --no-healthcheck --oom-kill-disable --oom-score-adj= --pid= --pids-limit= --platform= --privileged --publish= --publish-all --pull= --quiet
  --read-only --restart= --rm --runtime= --security-opt= --shm-size= --sig-proxy= --stop-signal= --stop-timeout= --storage-opt= --sysctl= --tmpfs= --tty --ulimit= --user= --userns=
  --uts= --volume= --volume-driver= --volumes-from= --workdir=
`
  .trim()
  .split(/\s+/);

/** One that has no value is refused always or never. */
const isRefused = ({ harmless = [] }: RefusedFlag) => !harmless.includes('');

describe('an option that hands know from Docker', () => {
  it.each(DOCKER_RUN)('is one of run, or says what else to do: %s', async (flag) => {
    const words = flag.endsWith('=') ? [flag.slice(0, -1), 'value'] : [flag];
    const { stderr } = await runInMemory(['--root', '/dev/null/store', 'run', ...words, 'image']);
    expect(stderr).not.toContain('unknown option');
    expect(stderr).not.toContain('too many arguments');
  });

  it.each([
    ...REFUSED_BY_RUN.filter(isRefused).map((row) => ['run', row] as const),
    ...REFUSED_BY_EXEC.map((row) => ['exec', row] as const),
  ])(
    'and that %s does not have is wrong usage in one line, with one that helps: $1.flags',
    async (command, { flags }) => {
      const [name = '', value] = (flags.split(', ').at(-1) ?? '').split(' ');
      const words = [command, name, ...(value ? ['other'] : []), 'a', 'b'];
      const { status, stdout, stderr } = await runInMemory(['--root', '/dev/null/store', ...words]);
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      expect(stderr).toMatch(new RegExp(`^provisioner: ${name}: .+\nhint: .+\n$`));
    },
  );

  it('is taken where it asks for what is so in any case, and is no word of ours in what the program is given', async () => {
    const words = ['--restart', 'no', '--pid', 'private', '--no-healthcheck', 'image', 'sh', '-t', '--privileged'];
    const { stderr } = await runInMemory(['--root', '/dev/null/store', 'run', ...words]);
    expect(stderr).not.toMatch(/--restart|--pid|--no-healthcheck|-t|--privileged/);
  });

  it('shows in no help, where it would seem to be there', async () => {
    const { stdout } = await runInMemory(['run', '--help']);
    for (const { flags } of REFUSED_BY_RUN.filter((row) => row.flags !== '-q'))
      expect(stdout, flags).not.toMatch(new RegExp(`^  (?:.*[ ,])?${flags.split(/[ ,]/)[0]}[ ,]`, 'm'));
  });

  it('may be short for one of ours: --net', () => {
    const command = new Command('run').exitOverride();
    addLaunchFlags(command);
    command.parse(['--net', 'host'], { from: 'user' });
    expect(command.opts()).toMatchObject({ network: 'host' });
  });
});
