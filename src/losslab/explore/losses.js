"use strict";
// The losses of losslab.losses, for one example of three classes of which the first is the true one.
// Each is written once, by its definition; its gradient and Hessian follow by the chain rule.
// tests/explore compares all three with losslab.losses and autograd.

/** A number with its exact gradient (3) and Hessian (9, row by row) in the three logits. */
class Jet {
  constructor(value, gradient = [0, 0, 0], hessian = [0, 0, 0, 0, 0, 0, 0, 0, 0]) {
    this.value = value;
    this.gradient = gradient;
    this.hessian = hessian;
  }

  /** The logit number i itself. */
  static logit(value, i) {
    return new Jet(value, [0, 1, 2].map((j) => Number(i === j)));
  }

  plus(other) {
    const b = jet(other);
    return new Jet(
      this.value + b.value,
      this.gradient.map((g, i) => g + b.gradient[i]),
      this.hessian.map((h, i) => h + b.hessian[i]),
    );
  }

  /** f of this number, given f, f' and f'' there. */
  through(f, slope, curvature) {
    const g = this.gradient;
    return new Jet(
      f,
      g.map((gi) => slope * gi),
      this.hessian.map((h, i) => slope * h + curvature * g[Math.floor(i / 3)] * g[i % 3]),
    );
  }

  times(other) {
    const a = this, b = jet(other);
    return new Jet(
      a.value * b.value,
      a.gradient.map((g, i) => g * b.value + a.value * b.gradient[i]),
      a.hessian.map((h, n) => {
        const i = Math.floor(n / 3), j = n % 3;
        const mixed = a.gradient[i] * b.gradient[j] + a.gradient[j] * b.gradient[i];
        return h * b.value + a.value * b.hessian[n] + mixed;
      }),
    );
  }

  minus(other) { return this.plus(jet(other).times(-1)); }
  over(number) { return this.times(1 / number); }
  square() { return this.through(this.value ** 2, 2 * this.value, 2); }
  abs() { return this.through(Math.abs(this.value), Math.sign(this.value), 0); }
  relu() { return this.value > 0 ? this : new Jet(0); }
  log() { return this.through(Math.log(this.value), 1 / this.value, -1 / this.value ** 2); }

  exp() {
    const e = Math.exp(this.value);
    return this.through(e, e, e);
  }

  /** e^x − 1, exact near 0. */
  expm1() {
    const e = Math.exp(this.value);
    return this.through(Math.expm1(this.value), e, e);
  }

  power(n) {
    const x = this.value;
    return this.through(x ** n, n && n * x ** (n - 1), n * (n - 1) && n * (n - 1) * x ** (n - 2));
  }

  sigmoid() {
    const s = 1 / (1 + Math.exp(-this.value));
    return this.through(s, s * (1 - s), s * (1 - s) * (1 - 2 * s));
  }
}

function jet(number) {
  return number instanceof Jet ? number : new Jet(number);
}

function sum(jets) {
  return jets.reduce((total, each) => total.plus(each), new Jet(0));
}

/** log softmax(z), safe for large logits: their maximum is subtracted first. */
function logSoftmax(z) {
  const most = Math.max(...z.map((each) => each.value));
  const total = sum(z.map((each) => each.minus(most).exp())).log().plus(most);
  return z.map((each) => each.minus(total));
}

const softmax = (z) => logSoftmax(z).map((each) => each.exp());
/** −log p_y. */
const surprisal = (z) => logSoftmax(z)[0].times(-1);
/** log(1 + e^x), safe for large x. */
const softplus = (x) => logSoftmax([jet(0), x])[0].times(-1);
/** k (a_y − M)² + Σ_{i≠y} a_i². */
const squares = (a, k = 1, M = 1) =>
  sum([a[0].minus(M).square().times(k), a[1].square(), a[2].square()]);

/**
 * Every loss of conf/loss by its name there: of the three logits (jets), the settings of the page,
 * and one weight w for the priors, with N = 1.
 */
const LOSSES = {
  cross_entropy: (z) => surprisal(z),
  label_smoothing: (z, { epsilon }) => {
    const log_p = logSoftmax(z), y = [1 - epsilon + epsilon / 3, epsilon / 3, epsilon / 3];
    return sum(log_p.map((each, i) => each.times(-y[i])));
  },
  kl_divergence: (z) => surprisal(z), // the entropy of a single true class is 0
  nll: (z) => surprisal(z),
  unnormalized_cross_entropy: (z) => z[0].times(-1),
  mse: (z) => squares(z).over(3),
  mse_softmax: (z) => squares(softmax(z)).over(3),
  brier: (z) => squares(softmax(z)),
  mse_sigmoid: (z) => squares(z.map((each) => each.sigmoid())).over(3),
  rescaled_mse: (z, { k, M }) => squares(z, k, M).over(3),
  mse_one_sided: (z) => {
    const short = jet(1).minus(z[0]).relu(), over = [z[1].relu(), z[2].relu()];
    return sum([short.square(), over[0].square(), over[1].square()]).over(3);
  },
  squentropy: (z) => surprisal(z).plus(z[1].square().plus(z[2].square()).over(2)),
  map_gaussian: (z, { sigma }, w) => surprisal(z).plus(w.square().over(2 * sigma ** 2)),
  map_laplace: (z, { b }, w) => surprisal(z).plus(w.abs().over(b)),
  mean_absolute_error: (z) => logSoftmax(z)[0].expm1().times(-2), // 2 (1 − p_y)
  generalized_cross_entropy: (z, { q }) => logSoftmax(z)[0].times(q).expm1().over(-q),
  focal: (z, { gamma }) => {
    const log_p = logSoftmax(z)[0];
    const wrong = log_p.expm1().times(-1); // 1 − p_y
    if (wrong.value === 0) return jet(0); // where powers below 1 have an infinite slope
    return wrong.power(gamma).times(log_p).times(-1);
  },
  multiclass_hinge: (z) => sum([z[1], z[2]].map((each) => each.minus(z[0]).plus(1).relu())),
  binary_cross_entropy: (z) => sum([z[0].times(-1), z[1], z[2]].map(softplus)),
  logit_normalization: (z) => {
    const square = sum(z.map((each) => each.square()));
    const length = square.value > 0 ? square.power(0.5) : jet(1);
    return surprisal(z.map((each) => each.times(length.times(0.04).power(-1))));
  },
  poly_loss: (z) => surprisal(z).minus(logSoftmax(z)[0].expm1()),
  symmetric_cross_entropy: (z) => surprisal(z).times(0.1).minus(logSoftmax(z)[0].expm1().times(4)),
  taylor_cross_entropy: (z) => {
    const wrong = logSoftmax(z)[0].expm1().times(-1);
    return wrong.plus(wrong.square().over(2));
  },
  bi_tempered: (z) => { // t1 = 0.8, t2 = 1.2
    let lambda = jet(Math.max(...z.map((each) => each.value)));
    const powers = (n) => z.map((each) => lambda.minus(each).times(0.2).plus(1).power(n));
    // Newton's method; the last steps give the derivatives, too.
    for (let step = 0; step < 8; step++) {
      const total = sum(powers(-5)), slope = sum(powers(-6));
      lambda = lambda.plus(total.power(1.2).minus(total).times(slope.power(-1)).over(0.2));
    }
    return sum(powers(-6)).minus(1).over(1.2).minus(powers(-1)[0].minus(1).over(0.2));
  },
};

/**
 * A loss at the given logits, each divided by the temperature T first; the one weight that the
 * priors see is the logit of the true class, as if its input were 1.
 */
function evaluate(name, logits, settings) {
  const variables = logits.map((each, i) => Jet.logit(each, i));
  const z = variables.map((each) => each.over(settings.T));
  const { value, gradient, hessian } = LOSSES[name](z, settings, variables[0]);
  const [smallest, , largest] = eigenvalues(hessian);
  return { value, gradient, norm: Math.hypot(...gradient), smallest, largest };
}

/** The eigenvalues of a symmetric 3 × 3 matrix in ascending order, by Jacobi's rotations. */
function eigenvalues(matrix) {
  const a = [0, 3, 6].map((start) => matrix.slice(start, start + 3));
  for (let sweep = 0; sweep < 12; sweep++) {
    for (const [p, q] of [[0, 1], [0, 2], [1, 2]]) {
      if (a[p][q] === 0) continue;
      const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
      const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
      const c = 1 / Math.hypot(t, 1), s = t * c;
      for (let i = 0; i < 3; i++) {
        [a[i][p], a[i][q]] = [c * a[i][p] - s * a[i][q], s * a[i][p] + c * a[i][q]];
      }
      for (let i = 0; i < 3; i++) {
        [a[p][i], a[q][i]] = [c * a[p][i] - s * a[q][i], s * a[p][i] + c * a[q][i]];
      }
    }
  }
  return [a[0][0], a[1][1], a[2][2]].sort((left, right) => left - right);
}
