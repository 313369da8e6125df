import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { again, IMAGE, otherContainerizer, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox', 'mount'], 'containers that share the network', () => {
  test('find the name servers of the machine as they are now, unless they have written their own', async () => {
    const { provisioner, root } = await storeWithBusybox();
    await provisioner.close();
    const place = mkdtempSync(join(tmpdir(), 'resolvers-'));
    onTestFinished(() => rmSync(place, { recursive: true }));
    const file = join(place, 'resolv.conf');
    writeFileSync(file, 'search example\nnameserver 192.0.2.1\n');
    const script = (text: string) => JSON.stringify(['sh', '-c', text]);
    const body = `
      import { writeFileSync } from 'node:fs';
      const text = async (id) => { const x = await c.exec(id, ['cat', '/etc/resolv.conf']); let all = ''; for await (const b of x.stdout) all += b; return all; };
      const until = async (id, wanted) => { for (let n = 0; n < 100 && (await text(id)) !== wanted; n++) await sleep(100); return text(id); };
      await c.launch('follows', '${IMAGE}', { network: 'host', command: ${script('sleep 60')} });
      await c.launch('asks', '${IMAGE}', { network: 'host', dns: ['192.0.2.7'], command: ${script('sleep 60')} });
      await c.launch('writes', '${IMAGE}', { network: 'host', command: ${script('echo nameserver 192.0.2.9 > /etc/resolv.conf; echo over; sleep 60')} });
      for await (const { bytes } of c.logs('writes', { follow: true })) if (bytes.includes('over')) break;
      say(JSON.stringify(await text('follows')));
      writeFileSync('/etc/resolv.conf', 'nameserver 192.0.2.2\\n');
      say(JSON.stringify(await until('follows', 'nameserver 192.0.2.2\\n')));
      say(JSON.stringify(await until('asks', 'nameserver 192.0.2.7\\n')));
      say(JSON.stringify(await text('writes')));
      for (const id of ['follows', 'asks', 'writes']) await c.destroy(id, { running: 'kill' });
      await p.close();`;
    const within = ['unshare', '-m', 'sh', '-c', `mount --bind ${file} /etc/resolv.conf && exec "$@"`, 'sh'];
    const said = await otherContainerizer(root, body, { within }).done;
    expect(said.map((line) => JSON.parse(line))).toEqual([
      'search example\nnameserver 192.0.2.1\n',
      'nameserver 192.0.2.2\n',
      'nameserver 192.0.2.7\n',
      'nameserver 192.0.2.9\n',
    ]);
    expect((await (await again(root)).containers.list()).length).toBe(0);
  });
});
