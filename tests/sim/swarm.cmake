# The swarm: sim_swarm runs seeds; sim_planted is the same with bugs in it, of which one is on (planted_bug.h).
#
# Neither the watching of transitions nor the bugs stand in the product's sources: both are made here, by replacing
# text in copies of them. Where a source no longer holds the text of a bug, that bug's test fails, so they keep up. A
# program gets the objects of its copies first on the link line; the library's own are then not taken.

file(GLOB swarm_sources CONFIGURE_DEPENDS sim/swarm*.cc)
list(FILTER swarm_sources EXCLUDE REGEX "swarm_main.cc|_test.cc")
add_library(weir_swarm STATIC ${swarm_sources})
target_link_libraries(weir_swarm PUBLIC weir_routing)
add_library(weir_seed_jobs STATIC sim/seed_jobs.cc sim/planted_bug.cc)
target_link_libraries(weir_seed_jobs PUBLIC weir_core)

# Thousands of seeds: too many for a sanitized or emulated run, and for every change. Where they are off, what is looked at
# is whether the sources still hold the text of each bug.
option(WEIR_PLANTED_BUGS "Build the simulations with bugs in them, and run their tests" ON)
if(WEIR_SANITIZE OR WEIR_FUZZ OR CMAKE_CROSSCOMPILING)
  set(WEIR_PLANTED_BUGS OFF)
endif()

# A copy takes the place of this source: its object must not bring others of the library along.
function(weir_keep_apart source)
  set_source_files_properties(${CMAKE_SOURCE_DIR}/${source} TARGET_DIRECTORY weir_net weir_routing
                              PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# The text of a product's source, and the path of a copy under `folder`.
function(weir_read_source source folder text_variable copy_variable)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${source})
  file(READ ${CMAKE_SOURCE_DIR}/${source} text)
  set(${text_variable} "${text}" PARENT_SCOPE)
  set(${copy_variable} ${CMAKE_CURRENT_BINARY_DIR}/${folder}/${source} PARENT_SCOPE)
endfunction()

# A copy in which every change of state is seen (swarm_watch.h).
function(weir_watched_source source)
  weir_keep_apart(${source})
  weir_read_source(${source} watched text copy)
  set(before "${text}")
  string(REGEX REPLACE "phase_ = ([^;=]+);" "phase_ = ::weir::sim::watched_phase<Phase>(phase_, \\1);" text "${text}")
  string(REGEX REPLACE "(\n[a-z][^\n]* Exchange::(on_[a-z_]+|start|abandon)\\([^{;]*\\) {)"
         "\\1\n  const ::weir::sim::ExchangeEvent watched_event(\"\\2\");" text "${text}")
  string(REPLACE "machine_.on_" "::weir::sim::WatchedPoolMachine(machine_).on_" text "${text}")
  string(REPLACE "gateway_.addresses, response_parser_)"
         "gateway_.addresses, response_parser_, ::weir::sim::pool_machine())" text "${text}")
  if("${text}" STREQUAL "${before}")
    message(FATAL_ERROR "tests/sim/swarm.cmake: nothing to watch in ${source}")
  endif()
  file(CONFIGURE OUTPUT ${copy} CONTENT "#include \"tests/sim/swarm_watch.h\"\n${text}" @ONLY)
  set(watched_sources ${watched_sources} ${copy} PARENT_SCOPE)
endfunction()

# A bug of a program: `old` stands exactly once in `source`, and becomes `new`, in which PLANTED says whether this bug is
# on. All are in one program, for one of its own for each takes long to build. Its test runs seeds from the first on until
# one finds it, by what is `expected`; the rarest takes some 300.
function(weir_plant program name test expected source old new)
  string(MAKE_C_IDENTIFIER "${program}_${source}" text_property)
  get_property(text GLOBAL PROPERTY ${text_property})
  if("${text}" STREQUAL "")
    weir_read_source(${source} ${program} text copy)
    set(text "#include \"tests/sim/planted_bug.h\"\n${text}")
    set_property(GLOBAL APPEND PROPERTY ${program}_sources ${source})
  endif()
  string(FIND "${text}" "${old}" first)
  string(FIND "${text}" "${old}" last REVERSE)
  if(first EQUAL -1 OR NOT first EQUAL last)
    set(problem "tests/sim/swarm.cmake: ${name}: not once in ${source}: ${old}")
    message(WARNING "${problem}")
    add_test(NAME "${test}" COMMAND ${CMAKE_COMMAND} -E cat "${problem}")
  else()
    string(REPLACE PLANTED "::weir::sim::is_planted(\"${name}\")" new "${new}")
    string(REPLACE "${old}" "${new}" text "${text}")
    if(WEIR_PLANTED_BUGS)
      add_test(NAME "${test}" COMMAND ${program} --seeds 10000)
      set_tests_properties("${test}" PROPERTIES PASS_REGULAR_EXPRESSION "${expected}" TIMEOUT 120
                           ENVIRONMENT "WEIR_PLANTED_BUG=${name}")
    endif()
  endif()
  set_property(GLOBAL PROPERTY ${text_property} "${text}")
endfunction()
function(weir_mutant name expected source old new)
  weir_plant(sim_planted ${name} "Swarm.FindsThePlantedBug_${name}" "finding: ${expected}" ${source} "${old}" "${new}")
endfunction()
function(weir_control_mutant name source old new)
  weir_plant(sim_control_planted ${name} "ControlSwarm.FindsThePlantedBug_${name}" "replay: sim_[a-z]+ --seed" ${source}
             "${old}" "${new}")
endfunction()
# The program, when all its bugs have been named. The libraries make it.
function(weir_planted_program program)
  if(NOT WEIR_PLANTED_BUGS)
    return()
  endif()
  get_property(sources GLOBAL PROPERTY ${program}_sources)
  set(copies)
  foreach(source ${sources})
    string(MAKE_C_IDENTIFIER "${program}_${source}" text_property)
    get_property(text GLOBAL PROPERTY ${text_property})
    set(copy ${CMAKE_CURRENT_BINARY_DIR}/${program}/${source})
    file(CONFIGURE OUTPUT ${copy} CONTENT "${text}" @ONLY)
    list(APPEND copies ${copy})
    weir_keep_apart(${source})
  endforeach()
  add_executable(${program} ${copies})
  # In no unit together: each is linked only in the place of its own.
  set_target_properties(${program} PROPERTIES UNITY_BUILD OFF)
  target_compile_options(${program} PRIVATE -Wno-error)
  target_link_libraries(${program} PRIVATE ${ARGN})
endfunction()

foreach(source exchange exchange_answer shard)
  weir_watched_source(routing/exchange/${source}.cc)
endforeach()
weir_watched_source(net/upstream_pool.cc)
add_library(weir_watched OBJECT ${watched_sources})
target_link_libraries(weir_watched PUBLIC weir_swarm)
add_library(weir_swarm_main OBJECT sim/swarm_main.cc)
target_link_libraries(weir_swarm_main PUBLIC weir_swarm)
add_executable(sim_swarm)
target_link_libraries(sim_swarm PRIVATE weir_swarm_main weir_watched weir_swarm weir_seed_jobs weir_sim)
if(NOT WEIR_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
  add_test(NAME "Swarm.ReachesTheTransitionsOfItsMachines" COMMAND sim_swarm --seeds 3000 --jobs 2 --transitions 90)
endif()
add_test(NAME "Swarm.TheSameSeedIsTheSameRunInAnotherProcess"
         COMMAND sh -c "one=$($1 --seed 4711) && test \"$one\" = \"$($1 --seed 4711)\"" sh $<TARGET_FILE:sim_swarm>)
add_executable(swarm_tests sim/swarm_test.cc)
target_link_libraries(swarm_tests PRIVATE weir_watched weir_swarm weir_sim GTest::gtest_main)
weir_register_tests(swarm_tests)

if(NOT CMAKE_CROSSCOMPILING)
  weir_mutant(missed_cancel "a shard never closed"
              net/connection.cc
              "  if (receive_.armed()) loop_.io().cancel(receive_);\n  if (send_.armed())"
              "  if (receive_.armed() && !PLANTED) loop_.io().cancel(receive_);\n  if (send_.armed())")
  weir_mutant(missed_abandon "killed by signal 6"
              routing/exchange/exchange.cc
              "  if (waiting()) pool_->abandon(*this)" "  if (waiting() && !PLANTED) pool_->abandon(*this)")
  weir_mutant(double_settle "an exchange settled twice"
              routing/exchange/exchange_answer.cc
              "  shard_.settle(record_);\n"
              "  shard_.settle(record_);\n  if (PLANTED && record_.client_gone && record_.attempts > 1) shard_.settle(record_);\n")
  weir_mutant(double_charge "(a tenant spent|spend is not the sum of records)"
              routing/guard/admission.cc
              "    routing::settle(line, spec, worst_, cost_nano_usd);\n"
              "    routing::settle(line, spec, worst_, cost_nano_usd);\n    if (PLANTED && part_count_ > 2) routing::settle(line, spec, 0, cost_nano_usd);\n")
  weir_mutant(torn_swap "a provider got another provider's credential"
              routing/exchange/shard.cc
              "    for (auto& pools : self.pool_of_provider_)" "    if (!PLANTED) for (auto& pools : self.pool_of_provider_)")
  weir_mutant(torn_exchange "a provider got another provider's credential"
              routing/exchange/shard.cc
              "  if (&of != &table()) return find_pool" "  if (&of != &table() && !PLANTED) return find_pool")
  weir_mutant(off_by_one "a user's concurrency"
              routing/guard/admission.cc
              "user_others_ < most" "user_others_ < most + (PLANTED ? 1 : 0)")
  weir_mutant(off_by_one_in_all "a pilot of"
              routing/guard/admission.cc
              "!count_one(pilot.line->total, pilot.limits.total)"
              "!count_one(pilot.line->total, pilot.limits.total + (PLANTED ? 1 : 0))")
  weir_mutant(early_free "the answer is to another request"
              routing/exchange/exchange_answer.cc
              "return send_downstream(piece.payload());"
              "return send_downstream(PLANTED ? core::Slice(piece.payload().mutable_data(), piece.payload_size, nullptr) : piece.payload());")
  weir_mutant(leaked_place "a place under a limit was not given back"
              routing/guard/admission.cc
              "  if (std::exchange(part.counted, false)) release" "  if (std::exchange(part.counted, false) && !PLANTED) release")
  weir_mutant(clean_cut "(a stream ended cleanly without its end mark|a stream and a plain answer are mixed up)"
              routing/exchange/exchange_answer.cc
              "  session_.cut();\n"
              "  if (!PLANTED) session_.cut();\n  if (PLANTED) send_downstream(core::Slice::of_static(net::kLastChunk));\n  if (PLANTED) session_.end_response();\n")
  weir_mutant(killed_host "a provider that is killed was asked"
              routing/exchange/exchange_guard.cc
              ".usable = !killed && share > 0" ".usable = (!killed || PLANTED) && share > 0")
  weir_mutant(wrong_clock "the reference (decides|says)"
              routing/exchange/data_plane.cc
              "  input.wall_now_ns = shard_.loop().wall_now_ns();\n"
              "  if (!PLANTED) input.wall_now_ns = shard_.loop().wall_now_ns();\n")
  weir_mutant(refused_in_vain "turned away for nothing: overloaded"
              routing/exchange/data_plane.cc
              "  auto decision = decide(table, *choice, input);\n"
              "  if (PLANTED && input.conversation.ends_with(\"-2\")) return core::fail(ErrorCode::overloaded);\n  auto decision = decide(table, *choice, input);\n")

  weir_mutant(cache_of_all_tenants "another tenant's answer was given again"
              routing/exchange/exchange_cache.cc
              "(shard_.gateway().cache_key, table()[decision_.tenant].id())"
              "(shard_.gateway().cache_key, PLANTED ? std::string_view() : table()[decision_.tenant].id())")
  weir_mutant(cache_of_all_units "another unit's (answer was given again|model answered)"
              routing/exchange/exchange_cache.cc
              "  key = core::siphash128(as_key(key), as_text(unit.hash))"
              "  if (!PLANTED) key = core::siphash128(as_key(key), as_text(unit.hash))")
  weir_mutant(silent_fallback "another unit's answer from the cache is no fallback"
              routing/exchange/exchange_cache.cc
              "if (why && unit_index" "if (why && !PLANTED && unit_index")
  weir_mutant(missed_purge "an answer was given again after it was purged"
              routing/guard/answer_cache.cc
              "    count += line.expires_ns" "    if (!PLANTED) count += line.expires_ns")
  weir_mutant(kept_after_purge "an answer was given again after it was purged"
              routing/guard/answer_cache.cc
              "return purges != draft.purges_;" "return purges != draft.purges_ && !PLANTED;")
  weir_mutant(no_ttl "an answer was given again [0-9]+ us after"
              routing/guard/answer_cache.cc
              "<= now_ns) {" "<= (PLANTED ? 0 : now_ns)) {")
  weir_mutant(tokens_held "tokens are held that nobody used"
              routing/guard/admission.cc
              "if (tokens < tokens_)" "if (tokens < tokens_ && !PLANTED)")
  weir_mutant(tokens_of_pilots_held "tokens are held that nobody used: a pilot"
              routing/guard/admission.cc
              "void PilotPlaces::settle(uint64_t tokens, const GuardTime& now) {\n"
              "void PilotPlaces::settle(uint64_t tokens, const GuardTime& now) {\n  if (PLANTED) tokens = std::max<uint64_t>(tokens, 400);\n")
  weir_mutant(tokens_forgotten "(tokens that were used are not counted|.*tpm let in more than fits)"
              routing/guard/admission.cc
              "if (tokens > tokens_) charge" "if (tokens > tokens_ && !PLANTED) charge")
  weir_mutant(refused_too_early "a [a-z]+'s rpm refused what fits"
              routing/guard/admission.cc
              "spec, tokens ? tokens_ : 1, now" "spec, tokens ? tokens_ : PLANTED ? 2 : 1, now")
  weir_mutant(limits_lost_at_swap "(a [a-z]+'s [a-z]+ let in more than fits|a [a-z]+'s concurrency|tokens that were used)"
              routing/guard/guard_plan.cc
              "guard.line = line<LimitLine>(LineKind::limits, scope, name, 0)"
              "guard.line = line<LimitLine>(LineKind::limits, scope, name, [] { static uint64_t bound = 0; return PLANTED ? ++bound : 0; }())")
  weir_mutant(copy_on_the_tenant "(a tenant spent|the copies of a flag cost|spend is not the sum)"
              routing/exchange/exchange_shadow.cc
              "const BudgetGuard& budget = guard->budgets[0];"
              "const ScopeGuard* const planted = plan->of(decision_.tenant);\n  const BudgetGuard& budget = PLANTED && planted != nullptr && !planted->budgets.empty() ? planted->budgets[0] : guard->budgets[0];")
  weir_mutant(copy_never_settled "(a reservation was left: shadow|a budget of copies is exceeded|the copies of a flag cost)"
              routing/exchange/shadow_call.cc
              "  routing::settle(*budget_.line" "  if (!PLANTED || side_.status == 200) routing::settle(*budget_.line")
  weir_mutant(copy_in_the_answer "a pair does not hold what its client was answered"
              routing/exchange/shadow_call.cc
              "  side_.append(payload)" "  (PLANTED ? pair_.primary : side_).append(payload)")
  weir_planted_program(sim_planted weir_swarm_main weir_swarm weir_seed_jobs weir_sim)
endif()

# The control plane's swarm, the same way: sim_control, control_swarm_tests, sim_control_mutant_*. weir_sim_workers takes
# the place of the library's routing/admin/worker.cc.
file(GLOB control_swarm_sources CONFIGURE_DEPENDS sim/control_swarm*.cc)
list(FILTER control_swarm_sources EXCLUDE REGEX "control_swarm_main.cc|_test.cc")
add_library(weir_control_swarm STATIC ${control_swarm_sources} support/simulated_disk.cc)
target_link_libraries(weir_control_swarm PUBLIC weir_routing)
add_library(weir_sim_workers OBJECT sim/sim_workers.cc)
target_compile_options(weir_sim_workers PRIVATE ${half_a_class})
target_link_libraries(weir_sim_workers PUBLIC weir_routing)
set_source_files_properties(${CMAKE_SOURCE_DIR}/routing/admin/worker.cc TARGET_DIRECTORY weir_routing
                            PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
add_library(weir_control_swarm_main OBJECT sim/control_swarm_main.cc)
target_link_libraries(weir_control_swarm_main PUBLIC weir_control_swarm)
add_executable(sim_control)
target_link_libraries(sim_control PRIVATE weir_control_swarm_main weir_sim_workers weir_control_swarm weir_seed_jobs
                      weir_sim)
add_executable(control_swarm_tests sim/control_swarm_test.cc)
target_link_libraries(control_swarm_tests PRIVATE weir_sim_workers weir_control_swarm weir_sim GTest::gtest_main)
weir_register_tests(control_swarm_tests)

if(NOT CMAKE_CROSSCOMPILING)
  weir_control_mutant(not_synced routing/registry/database.cc
                      "  if (!connection.execute(kSettings)) return"
                      "  if (!connection.execute(kSettings) || (PLANTED && !connection.execute(\"PRAGMA synchronous=OFF\"))) return")
  weir_control_mutant(published_too_early routing/admin/control_changes.cc
                      "  ChangeOutcome outcome{.changed = change->objects.size()"
                      "  if (PLANTED) current_ = prepared.table;\n  if (PLANTED) publish(request.reason);\n  ChangeOutcome outcome{.changed = change->objects.size()")
  weir_control_mutant(answered_too_early routing/admin/control.cc
                      "everyone_uses(item.version)) return false" "everyone_uses(item.version) && !PLANTED) return false")
  weir_control_mutant(kill_forgotten routing/admin/control.cc
                      "    kills_.add(std::move(kill))" "    if (!PLANTED) kills_.add(std::move(kill))")
  weir_control_mutant(kill_overtaken routing/admin/control_changes.cc
                      "overtakes |= !std::exchange" "overtakes |= !PLANTED && !std::exchange")
  weir_control_mutant(update_lost routing/admin/control_changes.cc
                      "if (is_stale(request->if_match)) return end_change"
                      "if (is_stale(request->if_match) && !PLANTED) return end_change")
  weir_control_mutant(host_forgotten routing/admin/control.cc
                      "!changes_.empty() || gateway_.tables" "(!changes_.empty() && !PLANTED) || gateway_.tables")
  weir_control_mutant(stale_proposal routing/admin/control_proposals.cc
                      "if (*now == change.before) continue" "if (PLANTED || *now == change.before) continue")
  weir_control_mutant(old_image routing/admin/tenant_images.cc
                      "if (changes->empty()) return" "if (PLANTED || changes->empty()) return")
  weir_control_mutant(change_left_running routing/admin/control.cc
                      "  worker_.finish();" "  if (!PLANTED) worker_.finish();")
  weir_control_mutant(freed_after_the_worker routing/admin/control.cc
                      "if (alive.expired()) return job()" "if (alive.expired() && !PLANTED) return job()")
  weir_control_mutant(thought_registered routing/admin/control_changes.cc
                      "if (committed.revision) std::erase(" "if (committed.revision && !PLANTED) std::erase(")
  weir_control_mutant(not_settled routing/registry/database.cc
                      "  if (loaded && !in_memory()) settle()" "  if (loaded && !in_memory() && !PLANTED) settle()")
  weir_control_mutant(refused_comes_back routing/registry/database.cc
                      "    undo_commit();\n    return" "    if (!PLANTED) undo_commit();\n    return")
  weir_planted_program(sim_control_planted weir_control_swarm_main weir_sim_workers weir_control_swarm weir_seed_jobs
                       weir_sim)
endif()
