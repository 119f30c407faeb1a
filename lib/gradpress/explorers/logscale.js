// A logarithmic axis out of d3's linear one: place(value) is where a value stands, axis(kind) draws the ticks.
function logScale([low, high], range) {
  const linear = d3.scaleLinear([Math.log10(low), Math.log10(high)], range).clamp(true);
  const place = (value) => linear(Math.log10(value));
  place.invert = (at) => Math.pow(10, linear.invert(at));
  const decades = Math.log10(high / low);
  const inDecade = decades > 2.5 ? [1] : decades > 1.2 ? [1, 3] : [1, 2, 3, 5, 7];
  const every = Math.max(1, Math.ceil(decades / 7));
  const ticks = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e += 1) {
    for (const m of inDecade) {
      const at = Math.log10(m * Math.pow(10, e));
      if (e % every === 0 && at >= Math.log10(low) - 1e-9 && at <= Math.log10(high) + 1e-9) ticks.push(at);
    }
  }
  place.axis = (kind) => kind(linear).tickValues(ticks).tickFormat((v) => short(Math.pow(10, v))).tickSize(4);
  return place;
}

// A tick's number: plain for everyday sizes, a power of ten otherwise.
function short(value) {
  const exponent = Math.log10(value);
  if (exponent > -3.5 && exponent < 4.5) return String(+value.toPrecision(2));
  const raised = String(Math.round(exponent)).replace(/./g, (sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)]);
  return Math.abs(exponent - Math.round(exponent)) < 1e-6 ? `10${raised}` : "";
}
