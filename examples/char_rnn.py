"""Train a character RNN on Python's own documentation, and let it write.

About half a minute. Shows: nn.RNN and nn.Linear, truncated BPTT with `detach`, clipping, a loop with its progress.
"""

import numpy as np
from rich.progress import track

import tinygrad_rnn as tg
from tinygrad_rnn.text import default_text

text = default_text()[:60_000]
vocabulary = sorted(set(text))
place = {c: i for i, c in enumerate(vocabulary)}
data = np.array([place[c] for c in text])
one_hot = np.eye(len(vocabulary), dtype=np.float32)

T, B, H = 32, 16, 128
streams = data[: len(data) // B * B].reshape(B, -1).T  # B texts side by side, [length, B]


class CharRNN(tg.nn.Module):
    """Logits of the next character at every step."""

    def __init__(self):
        self.rnn = tg.nn.RNN(len(vocabulary), H, rng=0)
        self.out = tg.nn.Linear(H, len(vocabulary), rng=1)

    def forward(self, xs, h):
        """The logits [T, B, V] and the last state."""
        ys, h = self.rnn(xs, h)
        return self.out(ys), h


with tg.default_dtype(np.float32):
    model = CharRNN()
squares = {p: np.zeros_like(p.data) for p in model.parameters()}
h = np.zeros((1, B, H), np.float32)
smooth = np.log(len(vocabulary))
for step in track(range(600), description="training", transient=True):
    start = step * T % (len(streams) - T - 1)
    if start < T:
        h = np.zeros((1, B, H), np.float32)
    logits, h_n = model(one_hot[streams[start : start + T]], h)
    loss = tg.nn.functional.cross_entropy(logits, streams[start + 1 : start + T + 1])
    loss.backward()
    h = h_n.detach()  # the next piece goes on from here, but no gradient flows back: truncated BPTT
    norm = sum(float(np.vdot(p.grad, p.grad)) for p in model.parameters()) ** 0.5
    for p in model.parameters():  # RMSprop, with the gradient clipped to norm 1
        g = p.grad / max(norm, 1.0)
        squares[p] = 0.95 * squares[p] + 0.05 * g * g
        p.data -= 0.003 * g / (np.sqrt(squares[p]) + 1e-5)
    model.zero_grad()
    smooth = 0.98 * smooth + 0.02 * loss.item()
    if step % 100 == 99:
        print(f"step {step + 1:4d}   loss {smooth:.3f} nats a character")

rng = np.random.default_rng(2)
h, c, written = np.zeros((1, H), np.float32), place["T"], "T"
with tg.no_grad():
    for _ in range(200):
        logits, h = model(one_hot[[c]], h)
        c = rng.choice(len(vocabulary), p=tg.softmax(logits[0].astype(np.float64) / 0.5).data)
        written += vocabulary[c]
print(written)
if smooth > 2.6:
    raise SystemExit(f"the loss is still {smooth:.3f}: it has not learned")
