import type { HostTerminal } from '../host-process.js';

/** That of this process. */
export function hostTerminal({ stdin, stdout, stderr }: NodeJS.Process): HostTerminal {
  const shown = [stdout, stderr].find(({ isTTY }) => isTTY);
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
      if (!stdin.isTTY) return () => {};
      // Loaded here: most commands read no keys.
      const { makeTerminalRaw } = await import('../../system/terminals/raw-terminal.js');
      let restore = await makeTerminalRaw(stdin.fd);
      if (restore === undefined) {
        stdin.setRawMode(true);
        return () => void stdin.setRawMode(false);
      }
      // Whoever has put this process aside has had the terminal for himself meanwhile.
      const again = () =>
        void makeTerminalRaw(stdin.fd).then((other) => {
          restore = other ?? restore;
        });
      process.on('SIGCONT', again);
      return () => {
        process.off('SIGCONT', again);
        restore?.();
      };
    },
  };
}
