// The session of this browser is a cookie that scripts cannot read. The server sets a new one at each log-in and log-out;
// streams that were opened with the old one hear nothing of the new, so all tabs and workers open theirs again.

const CHANNEL = "cryptomarket-session";

/** The channel between the tabs; null in a browser that lets the site store nothing, which then has no session either. */
function openChannel() {
  try {
    return new BroadcastChannel(CHANNEL);
  } catch {
    return null;
  }
}

/** Tell all streams of this browser that it has a new session, and why a login of the old one ended. @param {string} reason */
export function announceSession(reason) {
  const channel = openChannel();
  channel?.postMessage(reason);
  channel?.close();
}

/** Call back with the reason at each new session, until the returned channel is closed. @param {(reason: string) => void} callback */
export function onNewSession(callback) {
  const channel = openChannel();
  channel?.addEventListener("message", (event) => callback(String(event.data)));
  return channel;
}
