#include "core/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace weir::core {

TimerWheel::~TimerWheel() {
  for (Timer*& first : lists_) {
    while (first != nullptr) cancel(*first);
  }
}

TimerWheel::NextSlot TimerWheel::next_slot() const {
  const unsigned level = static_cast<unsigned>(std::countr_zero(occupied_levels_));
  const unsigned slot = static_cast<unsigned>(std::countr_zero(occupied_[level]));
  // All digits above this level's are those of the present tick (see place()).
  const unsigned shift = level * kSlotBits;
  const uint64_t above = now_tick_ >> (shift + kSlotBits) << (shift + kSlotBits);
  return {level * kSlots + slot, above | uint64_t{slot} << shift};
}

void TimerWheel::reschedule(Timer& timer, uint64_t tick, bool never) {
  timer.cancel();
  if (never) return;
  timer.wheel_ = this;
  timer.deadline_tick_ = std::max(tick, now_tick_);
  ++armed_;
  place(timer);
}

// Puts an armed, unlinked timer on the list of its deadline.
//
// Why next_slot() may take all higher digits from now_tick_, at any later time: advance() never moves
// now_tick_ past the start of an occupied slot. Between now and that start the digits above the slot's
// level cannot change, since both ends agree in them; and the slot's own digit stays ahead of now's.
void TimerWheel::place(Timer& timer) {
  if (timer.deadline_tick_ <= now_tick_) {
    timer.slot_tick_ = now_tick_;
    append(timer, kDueList);
    return;
  }
  const unsigned highest_bit = static_cast<unsigned>(std::bit_width(timer.deadline_tick_ ^ now_tick_)) - 1;
  const unsigned level = highest_bit / kSlotBits;
  const unsigned shift = level * kSlotBits;
  const unsigned slot = (timer.deadline_tick_ >> shift) % kSlots;
  timer.slot_tick_ = timer.deadline_tick_ >> shift << shift;
  occupied_[level] |= uint64_t{1} << slot;
  occupied_levels_ |= 1u << level;
  append(timer, level * kSlots + slot);
}

void TimerWheel::append(Timer& timer, unsigned list) {
  timer.list_ = static_cast<uint16_t>(list);
  Timer*& first = lists_[list];
  if (first == nullptr) {
    first = timer.next_ = timer.previous_ = &timer;
    return;
  }
  timer.next_ = first;
  timer.previous_ = first->previous_;
  timer.previous_->next_ = &timer;
  first->previous_ = &timer;
}

void TimerWheel::unlink(Timer& timer) {
  const unsigned list = timer.list_;
  if (timer.next_ != &timer) {
    timer.next_->previous_ = timer.previous_;
    timer.previous_->next_ = timer.next_;
    if (lists_[list] == &timer) lists_[list] = timer.next_;
    return;
  }
  lists_[list] = nullptr;
  if (list >= kDueList) return;
  const unsigned level = list / kSlots;
  occupied_[level] &= ~(uint64_t{1} << list % kSlots);
  if (occupied_[level] == 0) occupied_levels_ &= ~(1u << level);
}

// Fires what is due on a list and places the rest anew: timers of a wide slot, and those whose deadline was
// moved later while they sat in a narrow one. Nothing can join a slot while it is drained, for its digit is
// the present tick's and place() looks for a digit that differs.
size_t TimerWheel::drain(unsigned list) {
  size_t fired = 0;
  while (lists_[list] != nullptr) {
    Timer& timer = *lists_[list];
    unlink(timer);
    if (timer.deadline_tick_ > now_tick_) {
      place(timer);
      continue;
    }
    timer.wheel_ = nullptr;
    --armed_;
    ++fired;
    timer.on_expire_(timer);  // may destroy it, and any other
  }
  return fired;
}

size_t TimerWheel::advance(uint64_t now_ns) {
  const uint64_t target_tick = std::max(now_ns / kNsPerMs, now_tick_);
  if (lists_[kDueList] == nullptr && (target_tick == now_tick_ || occupied_levels_ == 0)) {
    now_tick_ = target_tick;
    return 0;
  }
  WEIR_ASSERT(!advancing_);
  advancing_ = true;
  // Callbacks may add to the due list, so it is drained under another name.
  while (lists_[kDueList] != nullptr) {
    Timer& timer = *lists_[kDueList];
    unlink(timer);
    append(timer, kFiringList);
  }
  size_t fired = drain(kFiringList);
  while (occupied_levels_ != 0) {
    const NextSlot slot = next_slot();
    if (slot.tick > target_tick) break;
    now_tick_ = slot.tick;
    fired += drain(slot.list);
  }
  now_tick_ = target_tick;
  advancing_ = false;
  return fired;
}

}  // namespace weir::core
