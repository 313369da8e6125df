import type { HostTerminal } from '../host-process.js';

const ENDING = ['SIGQUIT', 'SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGXCPU'] as const;

/** That of this process. What it reads is not touched before somebody reads it. */
export function hostTerminal(host: NodeJS.Process): HostTerminal {
  const shown = [host.stdout, host.stderr].find(({ isTTY }) => isTTY);
  return {
    size() {
      if (shown === undefined) return undefined;
      const [columns, rows] = shown.getWindowSize();
      // Some do not know how large they are.
      return columns > 0 && rows > 0 ? { rows, columns } : undefined;
    },
    onResize(heard) {
      shown?.on('resize', heard);
      return () => void shown?.off('resize', heard);
    },
    async makeRaw() {
      const { stdin } = host;
      if (!stdin.isTTY) return () => {};
      // Loaded here: most commands read no keys.
      const { makeTerminalRaw } = await import('../../system/terminals/raw-terminal.js');
      const restore = await makeTerminalRaw(stdin.fd);
      if (restore === undefined) {
        stdin.setRawMode(true);
        return () => void stdin.setRawMode(false);
      }
      // Whoever has put this process aside has had the terminal for himself meanwhile. In the end it is as it was at first: he may have left it raw.
      let isOver = false;
      const again = () => void makeTerminalRaw(stdin.fd).then(() => isOver && restore());
      process.on('SIGCONT', again);
      // Those that end this process at once; what it had printed to stays raw otherwise.
      const end = (name: NodeJS.Signals) => {
        undo();
        process.kill(process.pid, name);
      };
      const undo = () => {
        isOver = true;
        process.off('SIGCONT', again);
        for (const name of ENDING) process.off(name, end);
        restore();
      };
      for (const name of ENDING) process.on(name, end);
      return undo;
    },
  };
}
